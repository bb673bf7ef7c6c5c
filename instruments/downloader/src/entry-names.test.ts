/** Names in archives. */
import assert from "node:assert/strict";
import { posix } from "node:path";
import { suite, test } from "node:test";
import fc from "fast-check";
import { EntryNames } from "./entry-names.ts";

suite("entry names", () => {
  test("plain names, and what says nothing is left out", () => {
    const names = new EntryNames(10);
    assert.equal(names.add("./", "directory"), "");
    assert.equal(names.add("./rules/", "directory"), "rules");
    assert.equal(names.add("rules//a.rules", "file"), "rules/a.rules");
    assert.equal(names.add("rules/", "directory"), "rules");
    assert.equal(names.count, 4);
  });

  test("none that leads anywhere else", () => {
    for (const name of [
      "../a",
      "a/../../b",
      "a/..",
      "/etc/passwd",
      "C:/windows",
      "c:a",
      "./c:a",
      "a\\b",
      "a\0b",
      "a\nb",
      "a\u202eb",
      "x".repeat(501),
      "d/".repeat(40) + "a",
    ]) {
      assert.throws(() => new EntryNames(10).add(name, "file"), { reason: "archive" }, JSON.stringify(name));
    }
    assert.throws(() => new EntryNames(10).add("./", "file"), { reason: "archive" });
  });

  test("no two in one place, and no more than so many", () => {
    const names = new EntryNames(100);
    names.add("a/b", "file");
    for (const [name, kind] of [
      ["a//b", "file"],
      ["./a/b", "file"],
      ["a", "file"],
      ["a/b/c", "file"],
      ["a/b/", "directory"],
    ] as const) {
      assert.throws(() => names.add(name, kind), { reason: "archive" }, name);
    }
    const few = new EntryNames(1);
    few.add("a", "file");
    assert.throws(() => few.add("b", "file"), { message: /more than 1 entries/ });
  });

  test("whatever is accepted stays below, and is its own normal form", () => {
    const part = fc.oneof(fc.constantFrom("..", ".", "", "a", "b", "C:", "/"), fc.string({ maxLength: 4 }));
    fc.assert(
      fc.property(fc.array(part, { maxLength: 6 }), (parts) => {
        const name = parts.join("/");
        let clean: string;
        try {
          clean = new EntryNames(1).add(name, "file");
        } catch (error) {
          assert.equal((error as { reason?: unknown }).reason, "archive");
          return;
        }
        const place = posix.resolve("/base", clean);
        assert.ok(place.startsWith("/base/"), name);
        assert.equal(posix.resolve("/base", name), place);
        assert.equal(new EntryNames(1).add(clean, "file"), clean);
      }),
    );
  });
});
