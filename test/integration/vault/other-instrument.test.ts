/**
 * Another instrument's root against an open volume. The attacker is given more than its container would leave it: no
 * seccomp, no limits, the host's own mounts, processes and devices in view, and every path by its name. What is left is
 * what the kernel holds it by: its user namespace, and the modes of what is not its own.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@bulkhead/testkit";
import { isMountPoint } from "../../../packages/warden/src/engine/host-mounts.ts";
import { loopDevicesOf } from "../../../packages/warden/src/volumes/loop-devices.ts";
import { commands, MIB, OWNER, persistent, vaultStand } from "./vault-stand.ts";

const MARKER = "bulkhead-marker-of-another";
/** The kernel's word, or what a tool makes of it; not that there is no such tool. */
const REFUSED =
  /[Pp]ermission denied|not permitted|superuser|cannot find an unused loop device|bind \S+ failed/;
/** The attacker's own range of ids: containers never share one. */
const OTHER_BASE = OWNER.uid + 100_000;

test("another instrument's root reads an open volume by no path, and can attach none of its parts", async (t) => {
  await using stack = new AsyncDisposableStack();
  const stand = await vaultStand(stack, 64 * MIB);
  const volume = persistent("db", 16 * MIB, "pdns");
  await stand.store.create(volume);
  await stand.store.attach(volume, OWNER);
  const data = stand.store.dataDir(volume);
  const file = join(data, "records");
  // The worst that its owner can do to itself: for everybody to read.
  await writeFile(file, MARKER, { mode: 0o666, flush: true });
  await runCommand("chmod", ["0777", data]);
  const [loop] = await loopDevicesOf(stand.imageOf(volume));
  assert.ok(loop !== undefined);
  // A process of the owner's that has the volume open, as its container would.
  const owner = await asOwner(stack, file);
  const attacker = await otherRoot(stack);
  const root = ["--target", String(attacker), "--user", "--mount", "--setuid", "0", "--setgid", "0", "--"];
  const as = async (...argv: readonly string[]) => (await runCommand("nsenter", [...root, ...argv])).stdout;
  const device = (await runCommand("stat", ["-c", "%Hr %Lr", loop])).stdout.trim().split(" ");
  const own = (await runCommand("mktemp", ["-d"])).stdout.trim();
  stack.defer(async () => void (await runCommand("rm", ["-r", "--", own])));
  await runCommand("chown", [`${OTHER_BASE}:${OTHER_BASE}`, own]);

  assert.equal(await as("id", "-u"), "0\n");
  // The control: what is its own it can write and bind, and mount a file system of the kind that it may.
  await as("touch", `${own}/mine`);
  await as("unshare", "--mount", "mount", "--bind", own, own);
  await as("unshare", "--mount", "mount", "-t", "tmpfs", "none", own);
  const attempts: readonly (readonly [what: string, argv: readonly string[]])[] = [
    ["its data, by the host's path", ["cat", file]],
    ["its data, by the owner's root", ["cat", `/proc/${owner}/root${file}`]],
    ["its data, by the owner's working directory", ["ls", `/proc/${owner}/cwd/`]],
    ["its data, by a file that the owner has open", ["cat", `/proc/${owner}/fd/0`]],
    ["the owner's memory", ["head", "-c", "1", `/proc/${owner}/mem`]],
    ["the owner's namespaces", ["nsenter", "--target", String(owner), "--mount", "true"]],
    ["the image", ["cat", stand.imageOf(volume)]],
    ["the image, mounted", ["mount", "-o", "loop", stand.imageOf(volume), own]],
    ["the loop device, read", ["head", "-c", "1", loop]],
    ["the loop device, mounted", ["mount", "-t", "ext4", loop, own]],
    ["a node of its own for the loop device", ["mknod", `${own}/loop`, "b", ...pairOf(device)]],
    ["a loop device of its own", ["losetup", "--find", "--show", stand.imageOf(volume)]],
    ["its data, bound elsewhere", ["mount", "--bind", data, own]],
    ["its key, removed", ["xfs_io", "-c", `rm_enckey ${await keyOf(data)}`, "--", data]],
    ["the wrapped keys", ["ls", join(stand.dir, "vault", "keys")]],
  ];
  for (const [what, argv] of attempts) {
    await t.test(what, async () => {
      await assert.rejects(as(...argv), REFUSED);
    });
  }
  // The control: by the same paths the host's root reads it, so that a refusal was one.
  for (const path of [file, `/proc/${owner}/root${file}`, `/proc/${owner}/fd/0`]) {
    assert.equal((await runCommand("cat", [path])).stdout, MARKER);
  }
  assert.equal(await isMountPoint(own), false);
});

function pairOf([major, minor]: readonly string[]): readonly [string, string] {
  assert.ok(major !== undefined && minor !== undefined);
  return [major, minor];
}

async function keyOf(data: string): Promise<string> {
  const { stdout } = await commands.run(["xfs_io", "-c", "get_encpolicy", "--", data]);
  const found = /Master key identifier: ([0-9a-f]{32})/.exec(stdout)?.[1];
  assert.ok(found !== undefined, stdout);
  return found;
}

/** Host pid of a process with the owner's ids that has the volume for its working directory and standard input. */
async function asOwner(stack: AsyncDisposableStack, file: string): Promise<number> {
  const ids = [`--reuid=${OWNER.uid}`, `--regid=${OWNER.gid}`, "--clear-groups"];
  const script = 'cd "$1"; exec 0<records; echo ready; shift; exec setpriv "$@" -- sleep 600';
  return started(stack, "sh", ["-ec", script, "sh", dirname(file), ...ids]);
}

/** Host pid of a process that is root in a user namespace with a range of its own, and in a mount namespace of that. */
async function otherRoot(stack: AsyncDisposableStack): Promise<number> {
  const pid = await started(stack, "unshare", [
    "--user",
    "--mount",
    "sh",
    "-c",
    "echo ready; exec sleep 600",
  ]);
  for (const map of ["uid_map", "gid_map"]) await writeFile(`/proc/${pid}/${map}`, `0 ${OTHER_BASE} 65536`);
  return pid;
}

/** Runs until the test ends; resolves once it has said that it is ready. */
async function started(stack: AsyncDisposableStack, file: string, args: readonly string[]): Promise<number> {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  stack.defer(async () => {
    child.kill("SIGKILL");
    await exited;
  });
  await Promise.race([once(child.stdout, "data"), exited.then(() => assert.fail(`${file} ended`))]);
  assert.ok(child.pid !== undefined);
  return child.pid;
}
