/**
 * Back-up: the site and the wrapped keys in one archive; in another, `FILE.images`, the encrypted images of chosen
 * volumes. Two, because whoever keeps images must not keep their keys with them: a key that is destroyed later is
 * then gone for the copies too.
 *
 * Invariants: an image is copied only while it is closed, before and after; nothing that is copied opens anything
 * without the recovery phrase.
 */
import { cp, mkdir, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { type BackupManifest, type InstallationLayout, PLATFORM_VOLUME } from "@bulkhead/schema";
import { pack } from "./archive.ts";
import { HostError, systemErrorCode } from "./error.ts";
import { withHostLock } from "./host-lock.ts";
import { parseInstallation, requireSettings } from "./installations.ts";
import { mountsUnder } from "./ownership.ts";
import { type Progress, reportStep } from "./progress.ts";
import { requireRoot } from "./setup.ts";

export interface BackupOptions {
  readonly installation: string;
  readonly file: string;
  /** `INSTRUMENT/VOLUME`, or `platform`. */
  readonly volumes: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export interface BackupOutcome {
  readonly file: string;
  /** Null where no volume was chosen. */
  readonly imagesFile: string | null;
  readonly manifest: BackupManifest;
}

type Chosen = BackupManifest["volumes"][number];

/**
 * @throws HostError `host-not-root`, `host-not-set-up`, `host-backup-no-volume`, `host-backup-in-use`,
 *   `host-command-failed`
 */
export async function backup(options: BackupOptions, progress: Progress): Promise<BackupOutcome> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  await requireSettings(layout);
  const file = resolve(options.file);
  return await withHostLock(options.signal, async () => {
    const volumes = await Promise.all(options.volumes.map((text) => findVolume(layout, text)));
    await requireClosed(layout, volumes);
    const manifest = await reportStep(progress, "keys", "packing site and wrapped keys", async () => {
      const value = await packKeys(layout, file, volumes);
      return { value, detail: file };
    });
    if (volumes.length === 0) return { file, imagesFile: null, manifest };
    const imagesFile = `${file}.images`;
    await reportStep(progress, "images", "packing encrypted images", async () => {
      await pack(imagesFile, layout.volumesDir, volumes.map(imageOf));
      await requireClosed(layout, volumes);
      return { value: undefined, detail: imagesFile };
    });
    return { file, imagesFile, manifest };
  });
}

export function imageOf({ instrument, id }: { readonly instrument: string; readonly id: string }): string {
  return `${instrument}/${id}.img`;
}

async function packKeys(
  layout: InstallationLayout,
  file: string,
  volumes: readonly Chosen[],
): Promise<BackupManifest> {
  const dir = join(layout.libDir, "backup.new");
  await rm(dir, { recursive: true, force: true });
  await mkdir(join(dir, "vault"), { recursive: true, mode: 0o700 });
  try {
    const site = await readlink(layout.siteLink).catch(nullIfMissing);
    const manifest: BackupManifest = {
      version: 1,
      installation: layout.name,
      madeAt: new Date().toISOString(),
      siteVersion: site === null ? null : basename(site),
      volumes: [...volumes],
    };
    await writeFile(join(dir, "manifest.json"), JSON.stringify(manifest));
    await cp(join(layout.vaultDir, "master.json"), join(dir, "vault", "master.json"));
    await cp(join(layout.vaultDir, "keys"), join(dir, "vault", "keys"), { recursive: true });
    if (site !== null) {
      await cp(join(layout.siteVersionsDir, basename(site)), join(dir, "site"), { recursive: true });
    }
    await pack(file, dir, await readdir(dir));
    return manifest;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function findVolume(layout: InstallationLayout, text: string): Promise<Chosen> {
  const [instrument = "", id = "", ...rest] = (
    text === PLATFORM_VOLUME.instrument ? `${PLATFORM_VOLUME.instrument}/${PLATFORM_VOLUME.id}` : text
  ).split("/");
  const known = await volumesOf(layout);
  const found = rest.length > 0 ? undefined : known.find((v) => v.instrument === instrument && v.id === id);
  if (found !== undefined) return found;
  const names = known.map((v) => `${v.instrument}/${v.id}`).join(", ") || "none";
  if (rest.length === 0 && (await slicedVolumes(layout)).includes(text)) {
    throw new HostError("host-backup-no-volume", `volume ${text} is cut in slices, which no back-up holds`, {
      advice: "a copy of a slice's key would outlive its period; have the instrument emit what must be kept",
    });
  }
  throw new HostError("host-backup-no-volume", `there is no volume ${JSON.stringify(text)}`, {
    advice: `these are there: ${names}`,
  });
}

async function volumesOf({ volumesDir }: InstallationLayout): Promise<readonly Chosen[]> {
  const found: Chosen[] = [];
  for (const instrument of await readdir(volumesDir)) {
    for (const name of await readdir(join(volumesDir, instrument))) {
      const id = /^([a-z0-9-]+)\.img$/.exec(name)?.[1];
      if (id === undefined) continue;
      found.push({ instrument, id, sizeBytes: (await stat(join(volumesDir, instrument, name))).size });
    }
  }
  return found;
}

/** `INSTRUMENT/VOLUME` of each. */
async function slicedVolumes({ volumesDir }: InstallationLayout): Promise<readonly string[]> {
  const files = await readdir(volumesDir, { recursive: true });
  return files.flatMap((file) => /^([a-z0-9-]+\/[a-z0-9-]+)\.slices\.img$/.exec(file)?.[1] ?? []);
}

/** @throws HostError `host-backup-in-use` */
async function requireClosed({ mountsDir }: InstallationLayout, volumes: readonly Chosen[]): Promise<void> {
  const dirs = volumes.map(({ instrument, id }) => join(mountsDir, instrument, id));
  const open = mountsUnder(dirs, await readFile("/proc/self/mountinfo", "utf8"));
  if (open.length === 0) return;
  throw new HostError("host-backup-in-use", `these volumes are in use: ${open.join(", ")}`, {
    advice: "stop their instruments with `bulkhead stop`, or take the sensor down for the platform's own",
  });
}

function nullIfMissing(error: unknown): null {
  if (systemErrorCode(error) === "ENOENT") return null;
  throw error;
}
