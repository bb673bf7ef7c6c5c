import assert from "node:assert/strict";
import { test } from "node:test";
import { neededPackages, parseInstalled, parseRemovals } from "./package-choice.ts";
import { chooseRuntime, type RuntimeFacts } from "./runtime-choice.ts";

const nothing: RuntimeFacts = { answering: {}, installed: [], available: [] };

test("what was asked for comes first, also where another answers", () => {
  const facts: RuntimeFacts = { ...nothing, answering: { lxd: "/l.sock" }, available: ["incus"] };
  assert.deepEqual(chooseRuntime(facts, "incus", "lxd"), {
    kind: "incus",
    socket: "/var/lib/incus/unix.socket",
    action: "install",
  });
});

test("an installation keeps its runtime", () => {
  const facts: RuntimeFacts = { ...nothing, answering: { lxd: "/l.sock" }, installed: ["incus"] };
  const choice = chooseRuntime(facts, undefined, "incus");
  assert.deepEqual([choice?.kind, choice?.action], ["incus", "start"]);
});

test("else the one that answers, on the socket where it does; then installed; then offered", () => {
  const snap = "/var/snap/lxd/common/lxd/unix.socket";
  const answering = { ...nothing, answering: { lxd: snap }, installed: ["incus"] } as const;
  const expected = { kind: "lxd", socket: snap, action: "answers" };
  assert.deepEqual(chooseRuntime(answering, undefined, undefined), expected);
  const installed = { ...nothing, installed: ["incus"], available: ["lxd"] } as const;
  assert.equal(chooseRuntime(installed, undefined, undefined)?.kind, "incus");
  const offered = { ...nothing, available: ["incus", "lxd"] } as const;
  assert.equal(chooseRuntime(offered, undefined, undefined)?.kind, "lxd");
  assert.equal(chooseRuntime(nothing, undefined, undefined), undefined);
});

test("s6 is needed only without systemd, a runtime only where none is there", () => {
  const systemd = neededPackages({ supervisor: "systemd", installRuntime: null });
  assert.ok(!systemd.includes("s6") && !systemd.includes("lxd"));
  const bare = neededPackages({ supervisor: "s6", installRuntime: "incus" });
  assert.ok(bare.includes("s6") && bare.includes("incus-base") && !bare.includes("lxd"));
});

test("only packages that are wholly installed count", () => {
  const text = "lxd config-files\ns6 installed\nx not-installed\ny half-configured\n";
  assert.deepEqual(parseInstalled(text), ["s6"]);
});

test("what a simulated purge would take is read from apt", () => {
  const text = "Reading...\nPurg lxd [5.0.2]\nRemv other [1] [lxd:amd64 ]\nInst z\n";
  assert.deepEqual(parseRemovals(text), ["lxd", "other"]);
});
