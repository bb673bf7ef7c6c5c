/** The snapshot of a real machine sees what is made on it, kind by kind, and that it is gone. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import {
  type SnapshotSection,
  diffSnapshots,
  makeNamespace,
  renderDifferences,
  runCommand,
  takeSnapshot,
} from "@bulkhead/testkit";

const word = `t${randomBytes(5).toString("hex")}`;
const about = new RegExp(word);

test("a namespace, link, table, filter, loop device, mount, file, process and listener are seen, and their end", async () => {
  const before = await takeSnapshot();
  {
    await using stack = new AsyncDisposableStack();
    const directory = join("/var/cache/bulkhead", word);
    await mkdir(directory, { recursive: true });
    stack.defer(() => rm(directory, { recursive: true, force: true }));
    await writeFile(join(directory, "file"), "x");

    stack.use(await makeNamespace({ name: `bhtest-${word}` }));

    await runCommand("ip", ["link", "add", "name", word, "type", "veth", "peer", "name", `${word}b`]);
    stack.defer(async () => {
      await runCommand("ip", ["link", "del", word]);
    });
    await runCommand("tc", ["qdisc", "add", "dev", word, "clsact"]);
    const drop = ["bpf", "da", "bytecode", "1,6 0 0 2"];
    await runCommand("tc", [
      "filter",
      "add",
      "dev",
      word,
      "ingress",
      "protocol",
      "all",
      "prio",
      "1",
      ...drop,
    ]);

    await runCommand("nft", ["add", "table", "netdev", word]);
    stack.defer(async () => {
      await runCommand("nft", ["delete", "table", "netdev", word]);
    });

    const image = join(directory, "image.img");
    await runCommand("truncate", ["--size", "1M", image]);
    const { stdout: loop } = await runCommand("losetup", ["--find", "--show", image]);
    stack.defer(async () => {
      await runCommand("losetup", ["--detach", loop.trim()]);
    });

    const mountPoint = join(directory, "mnt");
    await mkdir(mountPoint);
    await runCommand("mount", ["-t", "tmpfs", "-o", "size=64k", word, mountPoint]);
    stack.defer(async () => {
      await runCommand("umount", [mountPoint]);
    });

    const child = spawn("tail", ["-f", join(directory, "file")], { stdio: "ignore" });
    await once(child, "spawn");
    stack.defer(async () => {
      const ended = once(child, "exit");
      child.kill();
      await ended;
    });

    const server = createServer().listen(join(directory, "socket"));
    await once(server, "listening");
    stack.defer(async () => {
      const closed = once(server, "close");
      server.close();
      await closed;
    });

    const seen = diffSnapshots(before, await takeSnapshot(), { about });
    assert.ok(seen.every(({ change }) => change === "added"));
    const sections = new Set(seen.map(({ section }) => section));
    const expected: readonly SnapshotSection[] = [
      ...(["namespaces", "links", "trafficControl", "packetRules", "loops"] as const),
      ...(["mounts", "processes", "files", "listeners"] as const),
    ];
    for (const section of expected)
      assert.ok(sections.has(section), `${section} in ${renderDifferences(seen)}`);
    assert.match(
      renderDifferences(seen),
      new RegExp(`\\+ trafficControl: ${word} ingress: .*bytecode '1,6 0 0 2'`),
    );
  }
  assert.equal(renderDifferences(diffSnapshots(before, await takeSnapshot(), { about })), "");
});
