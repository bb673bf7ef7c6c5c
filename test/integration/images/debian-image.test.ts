/** A real Debian image: built twice, imported into the real runtime, and run as a container would be. */
import assert from "node:assert/strict";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  buildCatalogue,
  ensureNodeDisk,
  findNodeBinary,
  readImageRecord,
  runCommand,
} from "@bulkhead/images";
import { runtimeCommand } from "../../runtime.ts";
import { scratch, writePackage } from "./fixture.ts";

const NAME = `bh-images-${process.pid}`;
const INSTANCE = "tiny";
const stack = new AsyncDisposableStack();
let dir = "";

before(async () => {
  dir = stack.use(await scratch()).dir;
  await writePackage(join(dir, "instruments"), { name: "tiny" });
});
after(() => stack.disposeAsync());

function build(cache: string, catalogue = "catalogue") {
  return buildCatalogue({
    instrumentsDir: join(dir, "instruments"),
    catalogueDir: join(dir, catalogue),
    cacheDir: join(dir, cache),
  });
}

async function client(...args: readonly string[]): Promise<Buffer> {
  const [file, ...argv] = runtimeCommand(args);
  return await runCommand(file, argv);
}

async function inProject(...args: readonly string[]): Promise<string> {
  return (await client("--project", NAME, ...args)).toString("utf8");
}

test("two builds with nothing in common but the archive are the same bytes", async () => {
  const [one] = await build("cache");
  const [other] = await build("other-cache", "other-catalogue");
  assert.equal(one?.state, "built");
  assert.equal(other?.state, "built");
  assert.equal(one?.digest, other?.digest);
  const [again] = await build("cache");
  assert.deepEqual([again?.state, again?.digest], ["unchanged", one?.digest]);
});

test("the bill of materials names what is inside, and nothing of the build host is", async () => {
  const folder = join(dir, "catalogue", "tiny");
  const names = JSON.parse(await readFile(join(folder, "sbom.json"), "utf8")).components.map(
    (each: { name: string }) => each.name,
  );
  for (const name of ["libc6", "tini", "busybox-static"]) assert.ok(names.includes(name), name);
  for (const name of ["mawk", "dpkg"]) assert.ok(!names.includes(name), name);
  const listed = (await runCommand("tar", ["-tf", join(folder, "rootfs.tar")])).toString("utf8").split("\n");
  assert.ok(listed.includes("usr/lib/x86_64-linux-gnu/libc.so.6") || process.arch !== "x64");
  assert.deepEqual(
    listed.filter((path) => /^(?:etc\/apt|var\/cache\/apt|var\/lib\/apt|dev\/.)/.test(path)),
    [],
  );
  const record = await readImageRecord(folder);
  assert.deepEqual([record?.node, record?.setpriv, record?.base], ["device", null, "debian"]);
});

test("the runtime takes it under the digest that we gave it, and the agent runs without a privilege", async () => {
  const folder = join(dir, "catalogue", "tiny");
  const digest = (await readImageRecord(folder))?.digest ?? "";
  const node = join(dir, "node");
  await ensureNodeDisk({ nodeDir: node, binary: findNodeBinary(import.meta.filename) });
  await using lxd = await ownProject();
  await inProject("image", "import", join(folder, "metadata.tar"), join(folder, "rootfs.tar"));
  assert.equal((await inProject("image", "list", "--format", "csv", "-c", "F")).trim(), digest);

  const fstab = join(dir, "fstab");
  await writeFile(
    fstab,
    ["run", "tmp", "dev/shm"]
      .map((path) => `tmpfs ${path} tmpfs size=8m,mode=1777,nosuid,nodev,create=dir 0 0\n`)
      .join(""),
  );
  const sockets = join(dir, "sockets");
  await mkdir(sockets);
  const raw = [
    "lxc.init.uid = 1000",
    "lxc.init.gid = 1000",
    "lxc.no_new_privs = 1",
    "lxc.cap.keep = none",
    `lxc.mount.fstab = ${fstab}`,
    "lxc.init.cmd = /usr/bin/tini -- /opt/node/bin/node /opt/instrument/agent.cjs",
  ].join("\n");
  await inProject(
    "init",
    digest,
    INSTANCE,
    "-s",
    NAME,
    "-c",
    "security.idmap.isolated=true",
    "-c",
    `raw.lxc=${raw}`,
  );
  await inProject("config", "device", "set", INSTANCE, "root", "readonly=true");
  const mount = ["config", "device", "add", INSTANCE] as const;
  await inProject(...mount, "node", "disk", `source=${node}`, "path=/opt/node", "readonly=true");
  await inProject(...mount, "sockets", "disk", `source=${sockets}`, "path=/run/bulkhead", "readonly=true");
  await inProject("start", INSTANCE);

  const inside = (...argv: readonly string[]) =>
    inProject("exec", INSTANCE, "--", "/usr/bin/busybox", ...argv);
  const ready = await until(() => inside("cat", "/tmp/ready"));
  assert.deepEqual(JSON.parse(ready), { uid: 1000, rules: "alert", known: true });
  const status = await inside("cat", "/proc/1/status");
  assert.match(status, /^Name:\ttini$/m);
  assert.match(status, /^CapEff:\t0{16}$/m);
  const mounts = await inside("cat", "/proc/mounts");
  for (const path of ["/", "/opt/node", "/run/bulkhead"]) {
    assert.match(mounts, new RegExp(`^\\S+ ${path} \\S+ ro,`, "m"), path);
  }
  await inside("test", "-d", "/data/store");
  await inProject("stop", INSTANCE, "--timeout", "30");
  await lxd[Symbol.asyncDispose]();
});

test("a build that is called off leaves nothing behind", async () => {
  const controller = new AbortController();
  const cacheDir = join(dir, "cancelled");
  const building = buildCatalogue({
    instrumentsDir: join(dir, "instruments"),
    catalogueDir: join(dir, "cancelled-catalogue"),
    cacheDir,
    signal: controller.signal,
    onProgress: (said) => {
      if (said.includes("extracting")) controller.abort();
    },
  });
  await assert.rejects(building, { name: "AbortError" });
  assert.deepEqual(await readdir(join(cacheDir, "images")), []);
  assert.deepEqual(await readdir(join(dir, "cancelled-catalogue")), []);
});

/** A project and a pool of our own; both go away with everything in them. */
async function ownProject(): Promise<AsyncDisposableStack> {
  const undo = new AsyncDisposableStack();
  const pool = join(dir, "pool");
  await mkdir(pool);
  await chmod(pool, 0o711);
  const options = ["images", "profiles", "storage.volumes"].flatMap((each) => [
    "-c",
    `features.${each}=true`,
  ]);
  await client("project", "create", NAME, ...options);
  undo.defer(async () => void (await client("project", "delete", NAME)));
  await client("storage", "create", NAME, "dir", `source=${pool}`);
  undo.defer(async () => void (await client("storage", "delete", NAME)));
  undo.defer(async () => {
    const images = (await inProject("image", "list", "--format", "csv", "-c", "F")).trim();
    for (const image of images.split("\n").filter(Boolean)) await inProject("image", "delete", image);
  });
  undo.defer(async () => {
    const instances = (await inProject("list", "--format", "csv", "-c", "n")).trim();
    for (const each of instances.split("\n").filter(Boolean)) await inProject("delete", "--force", each);
  });
  return undo;
}

async function until(read: () => Promise<string>): Promise<string> {
  const deadline = Date.now() + 60_000;
  for (;;) {
    try {
      return await read();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(100);
    }
  }
}
