import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { applyRuleset, checkRuleset, currentRules, type RulesetTool } from "./ruleset.ts";

class Place implements AsyncDisposable {
  readonly dir: string;
  readonly store: string;

  private constructor(dir: string) {
    this.dir = dir;
    this.store = join(dir, "store");
  }

  static async open(): Promise<Place> {
    const place = new Place(await mkdtemp(join(tmpdir(), "bh-test-rules-")));
    await mkdir(place.store);
    return place;
  }

  async deliver(version: string, files: Readonly<Record<string, string>>) {
    const dir = join(this.dir, "inbox", version);
    await mkdir(join(dir, "sub"), { recursive: true });
    for (const [name, text] of Object.entries(files)) await writeFile(join(dir, name), text);
    return { dir, version, names: Object.keys(files) };
  }

  /** Names and texts of the rules in force. */
  async inForce(): Promise<Readonly<Record<string, string>>> {
    const dir = currentRules(this.store);
    const names = (await readdir(dir)).toSorted();
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(join(dir, name), "utf8")] as const)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}

const WILLING: RulesetTool = { check: async () => [], reload: async () => null };

test("files come into force in their order, under names that do not collide", async () => {
  await using place = await Place.open();
  const delivery = await place.deliver("v1", { "b.rules": "one", "sub/b.rules": "two" });
  const outcome = await applyRuleset(place.store, delivery, WILLING);
  assert.ok(outcome.outcome === "applied");
  assert.deepEqual(
    outcome.files.map(({ name }) => name),
    ["b.rules", "sub/b.rules"],
  );
  assert.deepEqual(await place.inForce(), { "000-b.rules": "one", "001-b.rules": "two" });
  await applyRuleset(place.store, await place.deliver("v2", { "c.rules": "three" }), WILLING);
  assert.deepEqual(await place.inForce(), { "000-c.rules": "three" });
  const kept = await readdir(place.store);
  assert.equal(kept.length, 2, "former versions are removed");
});

test("what the check rejects never comes into force, and is told by the operator's name", async () => {
  await using place = await Place.open();
  await applyRuleset(place.store, await place.deliver("v1", { "a.rules": "good" }), WILLING);
  const rejecting: RulesetTool = {
    check: async (files) => files.map(({ name }) => ({ file: name, line: 1, message: "bad" })),
    reload: async () => assert.fail("not to be loaded"),
  };
  const outcome = await applyRuleset(place.store, await place.deliver("v2", { "a.rules": "bad" }), rejecting);
  assert.deepEqual(outcome, { outcome: "refused", faults: [{ file: "a.rules", line: 1, message: "bad" }] });
  assert.deepEqual(await place.inForce(), { "000-a.rules": "good" });
});

test("what the tool seals is current with its rules, and goes with them", async () => {
  await using place = await Place.open();
  const sealing = (reload: string | null): RulesetTool => ({
    check: async () => [],
    seal: (dir, files) => writeFile(join(dir, "sealed"), files.map(({ path }) => path).join()),
    reload: async (which) => (which === "new" ? reload : null),
  });
  const first = join(currentRules(place.store), "000-a.rules");
  await applyRuleset(place.store, await place.deliver("v1", { "a.rules": "one" }), sealing(null));
  assert.deepEqual(await place.inForce(), { "000-a.rules": "one", sealed: first });
  await applyRuleset(place.store, await place.deliver("v2", { "b.rules": "two" }), sealing("out of memory"));
  assert.deepEqual(await place.inForce(), { "000-a.rules": "one", sealed: first });
});

test("when the tool does not load them, the former rules are in force and loaded again", async () => {
  await using place = await Place.open();
  await applyRuleset(place.store, await place.deliver("v1", { "a.rules": "good" }), WILLING);
  const calls: string[] = [];
  const failing: RulesetTool = {
    check: async () => [],
    reload: async (which) => {
      calls.push(`${which} ${Object.values(await place.inForce()).join()}`);
      return which === "new" ? "out of memory" : null;
    },
  };
  const outcome = await applyRuleset(place.store, await place.deliver("v2", { "a.rules": "huge" }), failing);
  assert.ok(outcome.outcome === "refused" && outcome.faults[0]?.message.includes("out of memory"));
  assert.deepEqual(calls, ["new huge", "former good"]);
});

test("what is absent, a link or no file is a fault of that file; names that lead out are an error", async () => {
  await using place = await Place.open();
  const delivery = await place.deliver("v1", {});
  await symlink("/etc/passwd", join(delivery.dir, "link.rules"));
  const names = ["link.rules", "absent.rules", "sub"];
  const outcome = await applyRuleset(place.store, { ...delivery, names }, WILLING);
  assert.deepEqual(outcome, {
    outcome: "refused",
    faults: [
      { file: "link.rules", message: "is a symbolic link" },
      { file: "absent.rules", message: "was not delivered" },
      { file: "sub", message: "is not a regular file" },
    ],
  });
  for (const name of ["../x", "/etc/passwd", "a/../../x", ""]) {
    await assert.rejects(applyRuleset(place.store, { ...delivery, names: [name] }, WILLING), {
      code: "sdk-file-name-unsafe",
    });
  }
  await assert.rejects(applyRuleset(place.store, { ...delivery, version: "../v" }, WILLING), {
    code: "sdk-file-name-unsafe",
  });
});

test("files beside the inbox come after it, out of what is in force too; a check alone leaves nothing", async () => {
  await using place = await Place.open();
  const first = await place.deliver("v1", { "a.rules": "one" });
  const outside = join(place.dir, "set");
  await writeFile(outside, "two");
  const beside = [{ name: "managed:all/7-x", path: outside }];
  const outcome = await applyRuleset(place.store, { ...first, beside }, WILLING);
  assert.ok(outcome.outcome === "applied");
  assert.deepEqual(await place.inForce(), { "000-a.rules": "one", "001-7-x": "two" });
  const second = await place.deliver("v2", { "b.rules": "three" });
  const kept = outcome.files.filter(({ name }) => name.startsWith("managed:"));
  await applyRuleset(place.store, { ...second, beside: kept }, WILLING);
  assert.deepEqual(await place.inForce(), { "000-b.rules": "three", "001-7-x": "two" });
  const before = await readdir(place.store);
  const faults = await checkRuleset(place.store, { ...first, beside }, async (files) =>
    files.map(({ name }) => ({ file: name, message: "seen" })),
  );
  assert.deepEqual(
    faults.map(({ file }) => file),
    ["a.rules", "managed:all/7-x"],
  );
  assert.deepEqual(await readdir(place.store), before);
  const absent = { ...first, beside: [{ name: "managed:all/8-x", path: join(place.dir, "absent") }] };
  assert.deepEqual(await checkRuleset(place.store, absent, async () => assert.fail("not to be checked")), [
    { file: "managed:all/8-x", message: "was not delivered" },
  ]);
});
