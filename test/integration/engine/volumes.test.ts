/**
 * Volumes on real file systems: the size is the quota and nobody else's loss, growth is online, a full disk leaves
 * nothing behind, and a copy of the mounts in another namespace holds nobody up.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { isWardenError } from "../../../packages/warden/src/error.ts";
import { loopDevicesOf } from "../../../packages/warden/src/volumes/loop-devices.ts";
import type { NewVolume, VolumeStore } from "../../../packages/warden/src/volumes/volume-store.ts";
import { commands, MIB, OWNER, persistent, vaultStand } from "../vault/vault-stand.ts";
import { engineStand, type EngineStand, eventually } from "./engine-stand.ts";

async function freeBytes(store: VolumeStore, volume: NewVolume): Promise<number> {
  const { stdout } = await commands.run(["stat", "-f", "-c", "%a %S", store.dataDir(volume)]);
  const [blocks, size] = stdout.trim().split(" ").map(Number);
  return (blocks ?? 0) * (size ?? 0);
}

/** CAP_SYS_RESOURCE (24): ext4 asks for it when a mounted file system is to grow (fs/ext4/resize.c). */
async function mayGrowMounted(): Promise<boolean> {
  const effective = /^CapEff:\s+([0-9a-f]+)$/m.exec(await readFile("/proc/self/status", "utf8"))?.[1];
  return ((BigInt(`0x${effective}`) >> 24n) & 1n) === 1n;
}

suite("volumes on the host", () => {
  test("made, attached, detached and removed, each twice; data stays until it is removed", async () => {
    await using stack = new AsyncDisposableStack();
    const { store, places } = await vaultStand(stack, 64 * MIB);
    const volume = persistent("store", 16 * MIB);
    await store.create(volume);
    await store.create(volume);
    const image = join(places.volumesDir, "ids", "store.img");
    assert.ok((await stat(image)).blocks * 512 >= 15 * MIB, "the size is reserved whole");
    await store.attach(volume, OWNER);
    await store.attach(volume, OWNER);
    assert.deepEqual(await store.observe(), [{ ...volume, mounted: true }]);
    const data = await stat(store.dataDir(volume));
    assert.deepEqual([data.uid, data.gid, data.mode & 0o7777], [OWNER.uid, OWNER.gid, 0o700]);
    await writeFile(join(store.dataDir(volume), "kept"), "x");
    await store.detach(volume);
    await store.detach(volume);
    assert.deepEqual(await store.observe(), [{ ...volume, mounted: false }]);
    assert.deepEqual(await loopDevicesOf(image), []);
    await assert.rejects(stat(store.dataDir(volume)), { code: "ENOENT" });
    await store.attach(volume, OWNER);
    assert.deepEqual(await readdir(store.dataDir(volume)), ["kept"]);
    await store.remove(volume);
    await store.remove(volume);
    assert.deepEqual(await store.observe(), []);
    await assert.rejects(store.attach(volume, OWNER), (error) => isWardenError(error, "volume-missing"));
  });

  test("a full disk refuses the volume, and leaves what was there", async () => {
    await using stack = new AsyncDisposableStack();
    const { store, places } = await vaultStand(stack, 40 * MIB);
    await store.create(persistent("first", 16 * MIB));
    const refused = (promise: Promise<void>) =>
      assert.rejects(promise, (error) => isWardenError(error, "volume-no-space"));
    await refused(store.create(persistent("second", 64 * MIB)));
    await refused(store.grow(persistent("first", 0), 64 * MIB));
    await refused(store.attach({ ...persistent("run", 64 * MIB), kind: "transient" }, OWNER));
    assert.deepEqual(await readdir(join(places.volumesDir, "ids")), ["first.img"]);
    assert.equal((await stat(join(places.volumesDir, "ids", "first.img"))).size, 16 * MIB);
    await store.attach(persistent("first", 16 * MIB), OWNER);
  });

  test("grows mounted and unmounted, and never shrinks", async () => {
    await using stack = new AsyncDisposableStack();
    const { store } = await vaultStand(stack, 128 * MIB);
    const volume = persistent("store", 16 * MIB);
    await store.create(volume);
    await store.attach(volume, OWNER);
    const before = await freeBytes(store, volume);
    await store.grow(volume, 32 * MIB);
    const online = await freeBytes(store, volume);
    if (await mayGrowMounted()) assert.ok(online > before + 12 * MIB, `${before} → ${online}`);
    await store.detach(volume);
    await store.attach(volume, OWNER);
    const next = await freeBytes(store, volume);
    assert.ok(next > before + 12 * MIB, `${before} → ${next}`);
    await store.detach(volume);
    await store.grow(volume, 48 * MIB);
    await store.grow(volume, 8 * MIB);
    await store.attach(volume, OWNER);
    assert.ok((await freeBytes(store, volume)) > next + 12 * MIB);
    assert.equal((await store.observe())[0]?.sizeBytes, 48 * MIB);
  });

  test("a transient volume is new at each attach, also after a crash, and gone after", async () => {
    await using stack = new AsyncDisposableStack();
    const { store } = await vaultStand(stack, 64 * MIB);
    const volume = { ...persistent("run", 16 * MIB), kind: "transient" } as const;
    await store.attach(volume, OWNER);
    await writeFile(join(store.dataDir(volume), "old"), "x");
    await store.attach(volume, OWNER);
    assert.deepEqual(await readdir(store.dataDir(volume)), []);
    await store.detach(volume);
    assert.deepEqual(await store.observe(), []);
    await assert.rejects(
      store.create(persistent("run", 16 * MIB)).then(() => store.create(volume)),
      (error) => isWardenError(error, "volume-kind-differs"),
    );
  });

  test("a namespace that copied the mounts does not stop a detach; a removal names it", async () => {
    await using stack = new AsyncDisposableStack();
    const { store } = await vaultStand(stack, 64 * MIB);
    const volume = persistent("store", 16 * MIB);
    await store.create(volume);
    await store.attach(volume, OWNER);
    await writeFile(join(store.dataDir(volume), "kept"), "x");
    const copy = spawn("unshare", ["--mount", "--propagation", "private", "sleep", "300"]);
    stack.defer(() => void copy.kill("SIGKILL"));
    await eventually(
      async () => (await commands.run(["findmnt", "-n", "-N", String(copy.pid), "-o", "TARGET"])).stdout,
      (text) => text.includes("/ids/store"),
    );
    await store.detach(volume);
    assert.equal((await store.observe())[0]?.mounted, false);
    await store.attach(volume, OWNER);
    assert.deepEqual(await readdir(store.dataDir(volume)), ["kept"], "the same file system, once");
    await assert.rejects(store.remove(volume), (error) => {
      assert.ok(isWardenError(error, "volume-busy"));
      assert.match(String(error.fields["holders"]), /process \d+ \(sleep\)/);
      return true;
    });
    copy.kill("SIGKILL");
    await eventually(
      async () => store.remove(volume),
      () => true,
    );
    assert.deepEqual(await store.observe(), []);
  });

  test("a namespace that follows the host's mounts lets go with it", async () => {
    await using stack = new AsyncDisposableStack();
    const { store } = await vaultStand(stack, 64 * MIB);
    const volume = persistent("store", 16 * MIB);
    await store.create(volume);
    await store.attach(volume, OWNER);
    const copy = spawn("unshare", ["--mount", "--propagation", "slave", "sleep", "300"]);
    stack.defer(() => void copy.kill("SIGKILL"));
    await eventually(
      async () => (await commands.run(["findmnt", "-n", "-N", String(copy.pid), "-o", "TARGET"])).stdout,
      (text) => text.includes("/ids/store"),
    );
    await store.remove(volume);
  });
});

suite("volumes in containers", () => {
  let stand: EngineStand;
  before(async () => {
    stand = await engineStand("t-vol");
  });
  after(() => stand?.[Symbol.asyncDispose]());

  test("a full volume is its own instrument's loss, and grows while it runs", async () => {
    const volumes = [
      { id: "store", kind: "persistent" as const, sizeBytes: 16 * MIB },
      { id: "other", kind: "persistent" as const, sizeBytes: 16 * MIB },
    ];
    await stand.run(stand.spec("full", { volumes }));
    await stand.run(stand.spec("beside", { volumes: volumes.slice(0, 1) }));
    const fill = (instrument: string, path: string, count: number) =>
      stand.exec(
        instrument,
        ["/bin/busybox", "dd", "if=/dev/zero", `of=${path}`, "bs=1M", `count=${count}`],
        1000,
      );
    const full = await fill("full", "/data/store/x", 40);
    assert.match(full.stderr, /No space left on device/);
    assert.equal((await fill("full", "/data/other/x", 4)).exitCode, 0);
    assert.equal((await fill("beside", "/data/store/x", 4)).exitCode, 0);
    await stand.volumes.grow({ instrument: "full", id: "store" }, 64 * MIB);
    if (!(await mayGrowMounted())) {
      await stand.instances.stop("full");
      await stand.instances.start("full");
    }
    assert.equal((await fill("full", "/data/store/y", 24)).exitCode, 0);
    const found = await stand.instances.observe();
    assert.deepEqual(
      found.map(({ deviations }) => deviations),
      [[], []],
    );
  });
});
