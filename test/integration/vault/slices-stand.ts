/** A volume of a test's own that is cut in slices, at a time that the test says. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type SliceName, sliceAt, sliceName } from "@bulkhead/schema";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import type { NewVolume, VolumeStore } from "../../../packages/warden/src/volumes/volume-store.ts";
import { commands, MIB, OWNER, persistent, vaultStand, type VaultStand } from "./vault-stand.ts";

export const HOUR = 3_600_000;
export const POLICY = { lengthMs: HOUR, periodMs: 24 * HOUR } as const;
export const START = Date.UTC(2026, 10, 25, 12, 30);
export const CUT: NewVolume = { ...persistent("contacts", 16 * MIB), slices: POLICY };

/** The slice of so many hours after the start. */
export function hourly(hours: number): SliceName {
  return sliceName(sliceAt(START + hours * HOUR, HOUR));
}

export interface SlicesStand extends VaultStand {
  readonly time: { latestMs: number };
  readonly image: string;
  readonly mountDir: string;
  dirOf(slice: SliceName): string;
  /** As warden's next life has it. */
  another(): VolumeStore;
}

/** Made and attached, with the slices of the start and of the hour after it. */
export async function slicesStand(stack: AsyncDisposableStack): Promise<SlicesStand> {
  const stand = await vaultStand(stack, 128 * MIB);
  const time = { latestMs: START };
  const another = () => imageVolumes(stand.places, commands, stand.vault.keys, () => time.latestMs);
  const store = another();
  await store.create(CUT);
  await store.attach(CUT, OWNER);
  return {
    ...stand,
    store,
    time,
    another,
    image: join(stand.places.volumesDir, CUT.instrument, `${CUT.id}.slices.img`),
    mountDir: join(stand.places.mountsDir, CUT.instrument, CUT.id),
    dirOf: (slice) => join(store.dataDir(CUT), slice),
  };
}

/** What is known of each slice: `20261125T120000Z--… kept present`. */
export async function look(store: VolumeStore): Promise<Readonly<Record<SliceName, string>>> {
  const found = await store.find(CUT);
  return Object.fromEntries(
    (found?.slices ?? []).map(({ slice, kept, key }) => [slice, `${kept ? "kept" : "spent"} ${key}`]),
  );
}

/** Runs a shell script as the volume's owner, without any capability. @returns its exit code and what it said */
export async function asOwner(script: string, cwd = "/"): Promise<{ code: number; said: string }> {
  const identity = [`--reuid=${OWNER.uid}`, `--regid=${OWNER.gid}`, "--clear-groups"];
  const powers = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"];
  const child = spawn("setpriv", [...identity, ...powers, "--", "sh", "-c", script], {
    cwd,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (said += String(chunk)));
  await once(child, "close");
  return { code: child.exitCode ?? -1, said };
}
