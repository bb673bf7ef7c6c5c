import assert from "node:assert/strict";
import { test } from "node:test";
import { InstallationName, installationLayout } from "@bulkhead/schema";
import { xdpDropObject } from "../../warden/src/datapath/xdp-drop.ts";
import { parseAccount } from "./account.ts";
import { judgeRelease } from "./host-checks.ts";
import { planDirectories } from "./installation-files.ts";
import { parseInstallation } from "./installations.ts";
import { addLine, hasLine, removeLine, SUBORDINATE_LINE } from "./subordinate-ids.ts";
import { xdpObject } from "./xdp-object.ts";

const layout = installationLayout(InstallationName.parse("edge"));

test("parents are made before what lies in them", () => {
  const paths = planDirectories(layout, { uid: 990, gid: 991 }).map(({ path }) => path);
  for (const [index, path] of paths.entries()) {
    const parent = path.slice(0, path.lastIndexOf("/"));
    const inside = paths.indexOf(parent);
    assert.ok(inside < index, `${parent} before ${path}`);
  }
  assert.equal(new Set(paths).size, paths.length);
});

test("the installation's user owns its data alone, and nothing that root runs or believes", () => {
  const plan = planDirectories(layout, { uid: 990, gid: 991 });
  const owned = plan.filter(({ owner }) => owner.uid === 990).map(({ path }) => path);
  assert.deepEqual(owned, [`${layout.logDir}/sensord`, `${layout.logDir}/broker`, layout.recordDir]);
  const writable = plan.filter(({ owner }) => owner.uid === 0 && (owner.mode & 0o022) !== 0);
  assert.deepEqual(writable, [{ path: layout.runDir, owner: { uid: 0, gid: 991, mode: 0o1770 } }]);
});

test("names of host-wide directories are no installations", () => {
  for (const name of ["host", "idmap", "Edge", "a--b", "", "../x", "seventeen-letters"]) {
    assert.throws(() => parseInstallation(name), { code: "host-name-reserved" }, name);
  }
  assert.equal(parseInstallation("edge").slug, "bulkhead-edge");
});

test("an account is ours only if it says so", () => {
  const line = (name: string, words: string): string =>
    `${name}:x:990:991:${words}:/nonexistent:/bin/false\n`;
  const ours = { kind: "ours", account: { uid: 990, gid: 991 } };
  assert.deepEqual(parseAccount(line("bulkhead-edge", "Bulkhead installation edge"), layout), ours);
  assert.deepEqual(parseAccount(line("bulkhead-edge", "somebody"), layout), { kind: "foreign" });
  const other = parseAccount(line("bulkhead-edge", "Bulkhead installation edge2"), layout);
  assert.deepEqual(other, { kind: "foreign" });
});

test("the line of subordinate ids is added and taken away without touching another byte", () => {
  for (const text of ["", "a:1:2\n", "a:1:2", "a:1:2\n\n# odd\nb:3:4\n"]) {
    const added = addLine(text);
    assert.equal(hasLine(added), true);
    assert.equal(removeLine(added), text === "a:1:2" ? "a:1:2\n" : text);
  }
  assert.equal(hasLine(`x${SUBORDINATE_LINE}\n`), false);
});

test("releases are judged by os-release", () => {
  const text = (id: string, version: string): string =>
    `ID=${id}\nVERSION_ID="${version}"\nPRETTY_NAME="X"\n`;
  assert.equal(judgeRelease(text("debian", "12")).state, "ok");
  assert.equal(judgeRelease(text("debian", "11")).state, "failed");
  assert.equal(judgeRelease(text("ubuntu", "24.04")).state, "ok");
  assert.equal(judgeRelease(text("fedora", "42")).state, "failed");
  assert.equal(judgeRelease("ID=debian\nPRETTY_NAME=sid\n").state, "ok");
  assert.equal(judgeRelease('ID=mint\nVERSION_ID=22\nID_LIKE="ubuntu debian"\n').state, "absent");
});

test("the probe loads the program that warden attaches", () => {
  assert.deepEqual(xdpObject(), Buffer.from(xdpDropObject()));
});
