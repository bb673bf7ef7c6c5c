/**
 * A vault and volumes of a test's own, on a small file system in memory, so that it can be filled and searched; all
 * of it goes at the end, whatever state a test left it in.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type Commands, hostCommands } from "../../../packages/warden/src/commands.ts";
import type { MethodChoice } from "../../../packages/warden/src/vault/master-methods.ts";
import { Vault, type VaultParts } from "../../../packages/warden/src/vault/vault.ts";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import type { NewVolume, VolumeStore } from "../../../packages/warden/src/volumes/volume-store.ts";

export const MIB = 2 ** 20;
export const OWNER = { uid: 1_999_001_000, gid: 1_999_001_000 } as const;
export const commands = hostCommands();

export function persistent(id: string, sizeBytes: number, instrument = "ids"): NewVolume {
  return { instrument, id, kind: "persistent", sizeBytes };
}

export function vaultParts(dir: string): VaultParts {
  const layout = { vaultDir: join(dir, "vault"), vaultKeyFile: join(dir, "etc", "vault.key"), runDir: dir };
  return { layout, commands };
}

/** Makes a vault below `dir` unless there is one, and opens it. */
export async function openVault(dir: string, choice: MethodChoice = { method: "file" }): Promise<Vault> {
  const parts = vaultParts(dir);
  let vault = await Vault.open(parts);
  if (vault.state.state === "absent") {
    await Vault.create(choice, parts);
    vault = await Vault.open(parts);
  }
  await vault.unlock(choice.passphrase ?? null);
  return vault;
}

export interface VaultStand {
  readonly dir: string;
  readonly vault: Vault;
  readonly store: VolumeStore;
  readonly places: { readonly volumesDir: string; readonly mountsDir: string };
  imageOf(volume: NewVolume): string;
}

/** @param sizeBytes of the file system that holds it all */
export async function vaultStand(stack: AsyncDisposableStack, sizeBytes: number): Promise<VaultStand> {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-vault-"));
  stack.defer(() => rm(dir, { recursive: true }));
  await commands.run(["mount", "-t", "tmpfs", "-o", `size=${sizeBytes}`, "none", dir]);
  stack.defer(() => unmountAll(dir));
  const vault = await openVault(dir);
  const places = { volumesDir: join(dir, "volumes"), mountsDir: join(dir, "mnt") };
  await mkdir(places.mountsDir);
  return {
    dir,
    vault,
    places,
    store: imageVolumes(places, commands, vault.keys),
    imageOf: ({ instrument, id, kind }) =>
      join(places.volumesDir, instrument, `${id}${kind === "transient" ? ".transient" : ""}.img`),
  };
}

/** Everything mounted at or below `dir`, the last first; loop devices let go by themselves, somewhat later. */
export async function unmountAll(dir: string): Promise<void> {
  const { stdout } = await commands.run(["findmnt", "--noheadings", "--raw", "--output", "TARGET"]);
  const points = stdout.split("\n").filter((point) => point === dir || point.startsWith(`${dir}/`));
  for (const point of points.toReversed()) {
    for (let tries = 0; ; tries += 1) {
      try {
        await commands.run(["umount", "--", point]);
        break;
      } catch (error) {
        if (tries === 100) throw error;
        await delay(50);
      }
    }
  }
}

/** The host's, until so many that change something were run: then this process is killed. */
export function mortalCommands(most: number): Commands {
  let left = most;
  return {
    async run(argv, options) {
      const result = await commands.run(argv, options);
      if (isQuestion(argv)) return result;
      left -= 1;
      if (left < 0) process.kill(process.pid, "SIGKILL");
      return result;
    },
  };
}

/** Runs a program of ours to its end or its kill. @returns what it said */
export function liveProcess(program: string, args: readonly string[]): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  execFile(process.execPath, [program, ...args], (error, stdout, stderr) => {
    resolve(error === null || error.signal === "SIGKILL" ? stdout : `failed: ${stderr}`);
  });
  return promise;
}

/** xfs_io's questions, which leave the world as it is. */
function isQuestion(argv: readonly string[]): boolean {
  return argv.some((word) => word === "get_encpolicy" || word.startsWith("enckey_status"));
}
