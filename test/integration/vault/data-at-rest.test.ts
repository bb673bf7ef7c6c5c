/**
 * What lies on the disk after a stop: no word of what was written, nothing that a copy or another key opens, and a
 * clear refusal with the data kept whenever something is not as it should be.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { copyFile, open, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { isMountPoint } from "../../../packages/warden/src/engine/host-mounts.ts";
import { isWardenError, type WardenErrorCode } from "../../../packages/warden/src/error.ts";
import { fscrypt, identifierOf, newVolumeKey } from "../../../packages/warden/src/vault/fscrypt.ts";
import { Vault } from "../../../packages/warden/src/vault/vault.ts";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import { loopDevicesOf } from "../../../packages/warden/src/volumes/loop-devices.ts";
import type { NewVolume } from "../../../packages/warden/src/volumes/volume-store.ts";
import { commands, MIB, OWNER, persistent, vaultParts, vaultStand, type VaultStand } from "./vault-stand.ts";

const MARKER = `bulkhead-marker-${randomBytes(12).toString("hex")}`;
const TEXT = `${MARKER}\n`.repeat(2_000);

async function holds(file: string, text: string): Promise<boolean> {
  return (await readFile(file)).includes(text);
}

/** Attached, written to and detached. */
async function written(stand: VaultStand, volume: NewVolume): Promise<void> {
  if (volume.kind === "persistent") await stand.store.create(volume);
  await stand.store.attach(volume, OWNER);
  const file = join(stand.store.dataDir(volume), `${MARKER}-name`);
  await writeFile(file, TEXT, { flush: true });
}

const refused = (promise: Promise<unknown>, code: WardenErrorCode) =>
  assert.rejects(promise, (error) => {
    assert.ok(isWardenError(error), String(error));
    assert.equal(error.code, code, error.message);
    return true;
  });

/** Neither mounted nor on a loop device: nothing could be started on it. */
async function assertClosed(stand: VaultStand, volume: NewVolume): Promise<void> {
  assert.equal(await isMountPoint(join(stand.places.mountsDir, volume.instrument, volume.id)), false);
  assert.deepEqual(await loopDevicesOf(stand.imageOf(volume)), []);
}

suite("data at rest", () => {
  test("after a stop the raw image holds none of what was written, names included", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 128 * MIB);
    const volume = persistent("store", 16 * MIB);
    await written(stand, volume);
    await stand.store.detach(volume);
    assert.equal(await holds(stand.imageOf(volume), MARKER), false);
    // The control: the same on ext4 without encryption is there to be found.
    const plain = join(stand.dir, "plain.img");
    await commands.run(["fallocate", "-l", String(16 * MIB), plain]);
    await commands.run(["mkfs.ext4", "-q", "-F", plain]);
    const dir = join(stand.places.mountsDir, "plain");
    await commands.run(["mkdir", dir]);
    await commands.run(["mount", "-o", "loop", plain, dir]);
    await writeFile(join(dir, `${MARKER}-name`), TEXT);
    await commands.run(["umount", dir]);
    assert.equal(await holds(plain, MARKER), true);
    await stand.store.attach(volume, OWNER);
    assert.equal(await readFile(join(stand.store.dataDir(volume), `${MARKER}-name`), "utf8"), TEXT);
  });

  test("a transient volume is noise while it runs, and its key is nowhere on the disk", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 64 * MIB);
    const volume = { ...persistent("run", 16 * MIB), kind: "transient" } as const;
    await written(stand, volume);
    await commands.run(["sync", "-f", stand.store.dataDir(volume)]);
    const pulled = join(stand.dir, "pulled.img");
    await copyFile(stand.imageOf(volume), pulled);
    assert.equal(await holds(pulled, MARKER), false);
    assert.deepEqual(await readdir(join(stand.dir, "vault", "keys")), []);
    await stand.store.detach(volume);
    await assert.rejects(stat(stand.imageOf(volume)), { code: "ENOENT" });
  });

  test("mounts are nosuid and nodev, and inodes are limited too", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 64 * MIB);
    const volume = persistent("store", 16 * MIB);
    await stand.store.create(volume);
    await stand.store.attach(volume, OWNER);
    const dir = stand.store.dataDir(volume);
    const { stdout: options } = await commands.run(["findmnt", "-n", "-o", "OPTIONS", "-T", dir]);
    for (const option of ["nosuid", "nodev", "noatime"])
      assert.ok(options.trim().split(",").includes(option), options);
    const { stdout: inodes } = await commands.run(["stat", "-f", "-c", "%c", dir]);
    assert.ok(Number(inodes) >= 512 && Number(inodes) <= 2048, inodes);
  });

  test("after its destruction not even a copy made before can be opened, also with the key store of now", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 128 * MIB);
    const volume = persistent("store", 16 * MIB);
    await written(stand, volume);
    await stand.store.detach(volume);
    const copy = join(stand.dir, "copy.img");
    await copyFile(stand.imageOf(volume), copy);
    await stand.store.remove(volume);
    assert.deepEqual(await readdir(join(stand.dir, "vault", "keys")), []);
    await stand.store.create(volume);
    await copyFile(copy, stand.imageOf(volume));
    await refused(stand.store.attach(volume, OWNER), "volume-key-differs");
    await assertClosed(stand, volume);
  });

  test("a volume's key opens no other volume, and a record under another name is refused", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 128 * MIB);
    const [first, second] = [persistent("store", 16 * MIB), persistent("store", 16 * MIB, "pdns")];
    await written(stand, first);
    await stand.store.detach(first);
    await stand.store.create(second);
    const keys = join(stand.dir, "vault", "keys");
    await copyFile(stand.imageOf(first), stand.imageOf(second));
    await refused(stand.store.attach(second, OWNER), "volume-key-differs");
    await copyFile(join(keys, "ids", "store.json"), join(keys, "pdns", "store.json"));
    await refused(stand.store.attach(second, OWNER), "volume-key-damaged");
    await assertClosed(stand, second);
  });
});

suite("what is not as it should be", () => {
  type Damage = (record: string, image: string) => Promise<unknown>;
  const cases: readonly (readonly [name: string, WardenErrorCode, Damage])[] = [
    ["a superblock that was overwritten", "volume-damaged", (_, image) => overwrite(image, 1024, 1024)],
    [
      "a superblock of which one field is wrong",
      "volume-damaged",
      (_, image) => overwrite(image, 1024 + 0x20, 4),
    ],
    ["an image that was cut short", "volume-damaged", (_, image) => truncate(image, 9 * MIB)],
    ["an image that was emptied", "volume-damaged", (_, image) => truncate(image, 0)],
    [
      "a plain file system in its place",
      "volume-not-encrypted",
      (_, image) => commands.run(["mkfs.ext4", "-q", "-F", image]),
    ],
    [
      "an empty encrypting file system in its place",
      "volume-damaged",
      (_, image) => commands.run(["mkfs.ext4", "-q", "-F", "-O", "encrypt", image]),
    ],
    ["a key record that is not there", "volume-key-missing", (record) => rm(record)],
    ["a key record that was damaged", "volume-key-damaged", (record) => overwrite(record, 10, 8)],
    ["a key record that is empty", "volume-key-damaged", (record) => truncate(record, 0)],
  ];

  test("each is refused by its own code, nothing is attached, and what was there comes back", async (t) => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 80 * MIB);
    const volume = persistent("store", 16 * MIB);
    await written(stand, volume);
    await stand.store.detach(volume);
    const [image, record] = [stand.imageOf(volume), recordOf(stand)];
    const [sound, soundRecord] = [await readFile(image), await readFile(record)];
    for (const [name, code, damage] of cases) {
      await t.test(`${name}: ${code}`, async () => {
        await damage(record, image);
        const { size } = await stat(image);
        await refused(stand.store.attach(volume, OWNER), code);
        await assertClosed(stand, volume);
        assert.equal((await stat(image)).size, size, "nothing is put in its place");
        await writeFile(image, sound);
        await writeFile(record, soundRecord);
      });
    }
    await stand.store.attach(volume, OWNER);
    assert.equal(await readFile(join(stand.store.dataDir(volume), `${MARKER}-name`), "utf8"), TEXT);
  });

  test("a locked vault makes and attaches nothing persistent; what is transient goes on", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 80 * MIB);
    const volume = persistent("store", 16 * MIB);
    await written(stand, volume);
    await stand.store.detach(volume);
    const locked = imageVolumes(stand.places, commands, (await Vault.open(vaultParts(stand.dir))).keys);
    await refused(locked.attach(volume, OWNER), "volume-locked");
    await refused(locked.create(persistent("more", 16 * MIB)), "volume-locked");
    await assertClosed(stand, volume);
    const run = { ...persistent("run", 16 * MIB), kind: "transient" } as const;
    await locked.attach(run, OWNER);
    await locked.detach(run);
    // What was destroyed while locked is gone as surely.
    await locked.remove(volume);
    assert.deepEqual(await readdir(join(stand.dir, "vault", "keys")), []);
  });

  test("files that are still open hold a key, and the detach says so", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 64 * MIB);
    const volume = persistent("store", 16 * MIB);
    await stand.store.create(volume);
    await stand.store.attach(volume, OWNER);
    const mountDir = join(stand.places.mountsDir, "ids", "store");
    const crypt = fscrypt(commands);
    const identifier = await stand.vault.keys.identifier(volume);
    assert.ok(identifier !== null);
    {
      await using _ = await open(join(stand.store.dataDir(volume), "held"), "w");
      await refused(stand.store.detach(volume), "volume-busy");
      assert.equal(await crypt.keyStatus(mountDir, identifier), "held");
    }
    await stand.store.attach(volume, OWNER);
    assert.equal(await crypt.keyStatus(mountDir, identifier), "present", "an attach puts it right");
    await stand.store.detach(volume);
    await assertClosed(stand, volume);
  });

  test("the identifier that is computed here is the kernel's", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await vaultStand(stack, 64 * MIB);
    const volume = persistent("store", 16 * MIB);
    await stand.store.create(volume);
    await stand.store.attach(volume, OWNER);
    using key = newVolumeKey();
    const mountDir = join(stand.places.mountsDir, "ids", "store");
    const { stdout } = await commands.run(["xfs_io", "-c", "add_enckey", mountDir], { input: key.bytes });
    assert.match(stdout, new RegExp(identifierOf(key)));
  });
});

function recordOf(stand: VaultStand): string {
  return join(stand.dir, "vault", "keys", "ids", "store.json");
}

async function overwrite(file: string, at: number, length: number): Promise<void> {
  await using handle = await open(file, "r+");
  await handle.write(Buffer.alloc(length, 0xa5), 0, length, at);
}
