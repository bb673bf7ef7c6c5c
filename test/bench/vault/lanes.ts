/**
 * Lanes of the vault's bench: the same image on the same disk, as an encrypted volume, as plain ext4, and with gocryptfs on
 * top of plain ext4. Each gives a directory to work in.
 *
 * All of it lies in one directory that is removed at the end, whatever was still mounted there.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { hostCommands } from "../../../packages/warden/src/commands.ts";
import { isWardenError } from "../../../packages/warden/src/error.ts";
import { Vault } from "../../../packages/warden/src/vault/vault.ts";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";

const MIB = 2 ** 20;
const IMAGE_BYTES = 320 * MIB;
const VOLUME = { instrument: "bench", id: "store", kind: "persistent", sizeBytes: IMAGE_BYTES } as const;
const ROOT = { uid: 0, gid: 0 } as const;
const commands = hostCommands();

export type LaneName = "bulkhead" | "ext4" | "gocryptfs";

export interface Lane {
  readonly name: LaneName;
  readonly dir: string;
  /** Closes and opens it again, as a stop and a start do; null for what is not compared in that. */
  readonly reopen: (() => Promise<void>) | null;
}

/** Without the packages gocryptfs and fuse3 their lane is left out. */
export async function openLanes(
  stack: AsyncDisposableStack,
  say: (words: string) => void,
): Promise<readonly Lane[]> {
  const root = await mkdtemp("/var/tmp/bulkhead-bench-vault-");
  stack.defer(() => rm(root, { recursive: true, force: true }));
  const lanes = [await openVolume(stack, root), await openPlain(stack, root, "ext4")];
  const third = await openGocryptfs(stack, root);
  if (third === null) say("gocryptfs or fuse3 is not installed, so gocryptfs is left out");
  return third === null ? lanes : [...lanes, third];
}

async function openVolume(stack: AsyncDisposableStack, root: string): Promise<Lane> {
  const layout = { vaultDir: join(root, "vault"), vaultKeyFile: join(root, "vault.key"), runDir: root };
  await Vault.create({ method: "file" }, { layout, commands });
  const vault = await Vault.open({ layout, commands });
  await vault.unlock(null);
  const places = { volumesDir: join(root, "volumes"), mountsDir: join(root, "mnt") };
  await mkdir(places.mountsDir);
  const store = imageVolumes(places, commands, vault.keys);
  stack.defer(async () => void (await commands.run(["umount", places.mountsDir])));
  await store.create(VOLUME);
  stack.defer(() => store.remove(VOLUME));
  await store.attach(VOLUME, ROOT);
  const reopen = async (): Promise<void> => {
    await store.detach(VOLUME);
    await store.attach(VOLUME, ROOT);
  };
  return { name: "bulkhead", dir: store.dataDir(VOLUME), reopen };
}

async function openPlain(stack: AsyncDisposableStack, root: string, name: LaneName): Promise<Lane> {
  const [image, dir] = [join(root, `${name}.img`), join(root, name)];
  await commands.run(["fallocate", "-l", String(IMAGE_BYTES), image]);
  await commands.run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", "nodiscard,lazy_itable_init=0", image]);
  await mkdir(dir);
  const mount = ["mount", "-o", "loop,nosuid,nodev,noatime", image, dir];
  await commands.run(mount);
  stack.defer(async () => void (await commands.run(["umount", dir])));
  const reopen = async (): Promise<void> => {
    await commands.run(["umount", dir]);
    await commands.run(mount);
  };
  return { name, dir, reopen };
}

async function openGocryptfs(stack: AsyncDisposableStack, root: string): Promise<Lane | null> {
  for (const probe of [
    ["gocryptfs", "-version"],
    ["fusermount3", "-V"],
  ]) {
    try {
      await commands.run(probe);
    } catch (error) {
      if (isWardenError(error, "command-missing")) return null;
      throw error;
    }
  }
  const below = await openPlain(stack, root, "gocryptfs");
  const [cipher, dir, passphrase] = [
    join(below.dir, "cipher"),
    join(root, "clear"),
    join(root, "passphrase"),
  ];
  await mkdir(cipher);
  await mkdir(dir);
  await writeFile(passphrase, "bench\n", { mode: 0o600 });
  await commands.run(["gocryptfs", "-q", "-init", "-passfile", passphrase, cipher]);
  await commands.run(["gocryptfs", "-q", "-passfile", passphrase, cipher, dir]);
  stack.defer(async () => void (await commands.run(["umount", dir])));
  return { name: "gocryptfs", dir, reopen: null };
}
