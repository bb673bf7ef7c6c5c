/**
 * Purge on the real host, beside other people's things whose names begin alike: containers, namespaces, interfaces,
 * nft tables, loop devices, mounts, accounts and files. Ours go, theirs stay, and a span goes back to its owner.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, test } from "node:test";
import { parseInstallation, purge } from "../../../packages/host/src/index.ts";
import { askCommand, runCommand } from "../../../packages/host/src/command.ts";
import { askRuntime } from "../../../packages/host/src/runtime-socket.ts";
import { observeRuntimes } from "../../../packages/host/src/runtime-daemon.ts";
import { TEST_RUNTIME } from "../../runtime.ts";
import { engineTag, renderSpanTag, renderWireTag } from "../../../packages/warden/src/datapath/naming.ts";

const name = `f${randomBytes(3).toString("hex")}`;
const ours = parseInstallation(name);
/** Another installation, whose name begins like ours. */
const theirs = parseInstallation(`${name}-x`);
const cleanup = new AsyncDisposableStack();
const silent = (): void => undefined;

after(async () => {
  await purge({ installation: name }, silent);
  await cleanup.disposeAsync();
});

test("purge takes what is ours and leaves what only looks like it", { timeout: 300_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-foreign-"));
  cleanup.defer(() => rm(dir, { recursive: true }));
  await makeDirectories();
  await makeNamespaces();
  await makeTables();
  await makeVolume(`${ours.volumesDir}/ids`, ours.mountsDir);
  await makeVolume(join(dir, "volumes"), join(dir, "mnt"));
  cleanup.defer(() => endVolume(dir));
  const socket = (await observeRuntimes()).answering[TEST_RUNTIME.kind];
  if (socket !== undefined) {
    await makeProject(socket, ours.slug, ours.poolDir);
    cleanup.defer(() => removeProject(socket, theirs.slug));
    await makeProject(socket, theirs.slug, join(dir, "pool"));
  }
  const before = await observe(socket);

  const outcome = await purge({ installation: name }, silent);

  assert.deepEqual([outcome.errors, outcome.last], [[], false]);
  const left = await observe(socket);
  const gone = before.filter((thing) => !left.includes(thing));
  assert.deepEqual(
    gone.filter((thing) => !isOurs(thing)),
    [],
    "nothing of anybody else went",
  );
  assert.deepEqual(
    left.filter((thing) => isOurs(thing)),
    [],
    "nothing of ours is left",
  );
  assert.ok(left.includes(`device bhs${name} mtu 1400 alias none`), "the span is back on the host");
  for (const path of [ours.etcDir, ours.libDir]) assert.equal(existsSync(path), false, path);
  for (const path of [theirs.etcDir, theirs.libDir]) assert.equal(existsSync(path), true, path);
  const again = await purge({ installation: name }, silent);
  assert.deepEqual(again, { removed: [], errors: [], last: false });
});

async function makeDirectories(): Promise<void> {
  for (const layout of [ours, theirs]) {
    await mkdir(layout.etcDir, { recursive: true });
    await mkdir(layout.poolDir, { recursive: true });
    await mkdir(layout.mountsDir, { recursive: true });
  }
  cleanup.defer(async () => {
    await rm(theirs.etcDir, { recursive: true });
    await rm(theirs.libDir, { recursive: true });
    // Where this test made it.
    await rmdir("/etc/bulkhead").catch(() => undefined);
  });
}

/** One engine with a span and a wire each, and namespaces that only look like an engine of ours. */
async function makeNamespaces(): Promise<void> {
  await makeEngine(`${ours.slug}-capture`, engineTag(ours.slug, "capture"));
  await makeEngine(`${ours.slug}-x-y`, engineTag(theirs.slug, "y"));
  await makeEngine(`${ours.slug}-plain`, null);
  await makeEngine(`${ours.slug}-net-web`, null);
  for (const each of ["capture", "x-y", "plain", "net-web"]) {
    cleanup.defer(() => removeNamespace(`${ours.slug}-${each}`));
  }
  const span = { slug: ours.slug, engine: "capture", interface: "span0", mtu: 1400, gro: "on" } as const;
  const engine = `${ours.slug}-capture`;
  await runCommand("ip", ["link", "add", `bhs${name}`, "type", "veth", "peer", "name", `bhp${name}`]);
  cleanup.defer(() => removeDevice(`bhs${name}`));
  await runCommand("ip", ["link", "set", `bhs${name}`, "mtu", "9000", "netns", engine, "name", "span0"]);
  const alias = renderSpanTag({ ...span, device: `bhs${name}` });
  await runCommand("ip", ["-n", engine, "link", "set", "span0", "alias", alias, "promisc", "on"]);
  const tap = { engine: "capture", instrument: "ids", dropped: 0, guarded: 0 };
  await makeWire(`bha${name}`, renderWireTag({ slug: ours.slug, ...tap }));
  await makeWire(`bhb${name}`, renderWireTag({ slug: theirs.slug, ...tap }));
  await makeWire(`bhc${name}`, "bulkhead");
}

async function makeEngine(namespace: string, alias: string | null): Promise<void> {
  await runCommand("ip", ["netns", "add", namespace]);
  if (alias !== null) await runCommand("ip", ["-n", namespace, "link", "set", "lo", "alias", alias]);
}

async function makeWire(device: string, alias: string): Promise<void> {
  await runCommand("ip", ["link", "add", device, "type", "dummy"]).catch(async () => {
    await runCommand("ip", ["link", "add", device, "type", "veth", "peer", "name", `${device}p`]);
  });
  cleanup.defer(() => removeDevice(device));
  await runCommand("ip", ["link", "set", device, "alias", alias]);
}

async function makeTables(): Promise<void> {
  for (const table of [ours.slug, theirs.slug]) {
    await runCommand("nft", ["add", "table", "inet", table]);
    await runCommand("nft", ["add", "table", "netdev", table]);
    cleanup.defer(async () => {
      await askCommand("nft", ["delete", "table", "inet", table]);
      await askCommand("nft", ["delete", "table", "netdev", table]);
    });
  }
}

/** A small image file, on a loop device and mounted. */
async function makeVolume(volumes: string, mounts: string): Promise<void> {
  await mkdir(volumes, { recursive: true });
  await mkdir(join(mounts, "ids"), { recursive: true });
  const image = join(volumes, "data.img");
  await writeFile(image, "");
  await runCommand("truncate", ["--size", "8M", image]);
  await runCommand("mkfs.ext4", ["-q", image]);
  await runCommand("mount", ["-o", "loop,nosuid,nodev", image, join(mounts, "ids")]);
}

async function endVolume(dir: string): Promise<void> {
  await askCommand("umount", [join(dir, "mnt", "ids")]);
}

/** A project with an instance in a pool of the same name. */
async function makeProject(socket: string, slug: string, source: string): Promise<void> {
  await mkdir(source, { recursive: true });
  const features = { "features.images": "true", "features.profiles": "true" };
  await askRuntime(socket, "POST", "/1.0/projects", { name: slug, config: features });
  await askRuntime(socket, "POST", "/1.0/storage-pools", { name: slug, driver: "dir", config: { source } });
  const devices = { root: { type: "disk", path: "/", pool: slug } };
  const instance = { name: "ids", type: "container", source: { type: "none" }, devices };
  await askRuntime(socket, "POST", `/1.0/instances?project=${slug}`, instance);
}

async function removeProject(socket: string, slug: string): Promise<void> {
  await askRuntime(socket, "DELETE", `/1.0/instances/ids?project=${slug}`);
  await askRuntime(socket, "DELETE", `/1.0/projects/${slug}`);
  await askRuntime(socket, "DELETE", `/1.0/storage-pools/${slug}`);
}

async function removeNamespace(namespace: string): Promise<void> {
  await askCommand("ip", ["netns", "delete", namespace]);
}

async function removeDevice(device: string): Promise<void> {
  await askCommand("ip", ["link", "delete", device]);
}

/** Everything that carries this test's name, ours and theirs, one line each. */
async function observe(socket: string | undefined): Promise<readonly string[]> {
  const things: string[] = [];
  const json = async (file: string, args: readonly string[]): Promise<never> =>
    JSON.parse((await runCommand(file, args)) || "[]") as never;
  for (const each of (await json("ip", ["-json", "netns", "list"])) as { name: string }[]) {
    things.push(`namespace ${each.name}`);
  }
  const links: { ifname: string; mtu: number; ifalias?: string }[] = await json("ip", ["-json", "link"]);
  for (const { ifname, mtu, ifalias } of links) {
    things.push(`device ${ifname} mtu ${mtu} alias ${ifalias ?? "none"}`);
  }
  things.push(...(await runCommand("nft", ["list", "tables"])).trim().split("\n"));
  things.push(...(await runCommand("findmnt", ["-n", "-r", "-o", "TARGET"])).split("\n"));
  things.push(...(await runCommand("losetup", ["-n", "-O", "BACK-FILE"])).split("\n"));
  if (socket !== undefined) {
    for (const path of ["/1.0/projects", "/1.0/storage-pools"]) {
      things.push(...((await askRuntime(socket, "GET", path)).metadata as string[]));
    }
    const { metadata } = await askRuntime(socket, "GET", `/1.0/instances?project=${theirs.slug}`);
    things.push(...(metadata as string[]));
  }
  return things.map((thing) => thing.trim()).filter((thing) => thing.includes(name));
}

function isOurs(thing: string): boolean {
  const { slug, libDir } = ours;
  const exact = [
    `namespace ${slug}-capture`,
    `namespace ${slug}-net-web`,
    `/run/netns/${slug}-capture`,
    `/run/netns/${slug}-net-web`,
    `${dirname(TEST_RUNTIME.socket)}/storage-pools/${slug}`,
    `table inet ${slug}`,
    `table netdev ${slug}`,
    `/1.0/projects/${slug}`,
    `/1.0/storage-pools/${slug}`,
  ];
  const wire = new RegExp(`^device bha${name}p? `);
  return exact.includes(thing) || wire.test(thing) || thing.startsWith(`${libDir}/`);
}
