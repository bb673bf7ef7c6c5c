import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDebPackages } from "./inventory.ts";
import { isTrimmed, keptPackages } from "./trim.ts";

function packages(depends: Readonly<Record<string, string>>) {
  const stanzas = Object.entries(depends).map(
    ([name, needs]) => `Package: ${name}\nVersion: 1\nDepends: ${needs}\n`,
  );
  return parseDebPackages(stanzas.join("\n"));
}

test("what tells of the build host never goes into an image, trimmed or not", () => {
  for (const path of ["etc/apt", "etc/apk", "var/lib/apt", "var/cache/apt", "dev/null", "etc/resolv.conf"]) {
    assert.ok(isTrimmed(path, false), path);
  }
});

test("mount points and what tools need stay", () => {
  for (const path of [
    "dev",
    "proc",
    "run",
    "tmp",
    "etc/suricata/rules",
    "usr/lib/file/magic.mgc",
    "usr/bin/suricata",
  ]) {
    assert.ok(!isTrimmed(path, true), path);
  }
});

test("only a trimmed image loses character sets and static libraries", () => {
  for (const path of ["usr/lib/x86_64-linux-gnu/gconv", "usr/lib/x86_64-linux-gnu/libx.a"]) {
    assert.ok(isTrimmed(path, true), path);
    assert.ok(!isTrimmed(path, false), path);
  }
});

test("an interpreter goes with everything that it alone needed", () => {
  const all = packages({
    suricata: "libhtp2, python3, libc6",
    libhtp2: "libc6",
    libc6: "",
    python3: "libsqlite3-0",
    "libsqlite3-0": "libc6",
  });
  assert.deepEqual([...keptPackages(all, ["suricata"])].toSorted(), ["libc6", "libhtp2", "suricata"]);
});

test("what the recipe names is kept, with what it is made of", () => {
  const all = packages({ python3: "python3.13", "python3.13": "libsqlite3-0", "libsqlite3-0": "" });
  assert.deepEqual([...keptPackages(all, ["python3"])].toSorted(), ["libsqlite3-0", "python3", "python3.13"]);
});

test("a dependency on something that a package provides is followed", () => {
  const [tool, awk] = packages({ tool: "virtual-lib", reallib: "" });
  assert.ok(tool !== undefined && awk !== undefined);
  const kept = keptPackages([tool, { ...awk, provides: ["virtual-lib"] }], ["tool"]);
  assert.ok(kept.has("reallib"));
});
