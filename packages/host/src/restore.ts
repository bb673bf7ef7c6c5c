/**
 * Restoration: brings a back-up's site, keys and images to an installation that was set up and never used, also on
 * other hardware, by the recovery phrase.
 *
 * Invariants: nothing is replaced that holds data; all of the back-up is read and checked before anything is changed;
 * the site comes last, so that nothing is started on what is not there yet.
 */
import { mkdir, readdir, readFile, rename, rm, symlink } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { BackupManifest, type InstallationLayout, type VaultInit } from "@bulkhead/schema";
import { unpack, unreadable } from "./archive.ts";
import { imageOf } from "./backup.ts";
import { runCommand } from "./command.ts";
import { HostError } from "./error.ts";
import { withHostLock } from "./host-lock.ts";
import { parseInstallation, requireSettings } from "./installations.ts";
import { type Progress, reportStep } from "./progress.ts";
import { requireRoot } from "./setup.ts";
import { isListening } from "./socket-probe.ts";
import { askVault } from "./vault-tool.ts";

export interface RestoreOptions {
  readonly installation: string;
  readonly file: string;
  /** The archive of images; none where left out. */
  readonly imagesFile?: string | undefined;
  readonly phrase: string;
  /** What opens the vault here. */
  readonly vault: VaultInit;
  readonly signal?: AbortSignal | undefined;
}

const NAME = "[a-z][a-z0-9]*(-[a-z0-9]+)*";
const KEYS_CONTENT = new RegExp(
  `^(manifest\\.json|vault/master\\.json|vault/keys/${NAME}/${NAME}\\.json|site/(?!.*\\.\\.(/|$))[^\\\\]+)$`,
);
const IMAGES_CONTENT = new RegExp(`^${NAME}/${NAME}\\.img$`);

/**
 * @throws HostError `host-not-root`, `host-not-set-up`, `host-restore-running`, `host-restore-used`,
 *   `host-backup-unreadable`, `host-vault-refused`, `host-command-failed`
 */
export async function restore(options: RestoreOptions, progress: Progress): Promise<BackupManifest> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  await requireSettings(layout);
  return await withHostLock(options.signal, async () => {
    await requireFresh(layout);
    const dir = join(layout.libDir, "restore.new");
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir, { mode: 0o700 });
    try {
      return await restoreFrom(dir, layout, options, progress);
    } finally {
      await rm(dir, { recursive: true, force: true });
    }
  });
}

async function restoreFrom(
  dir: string,
  layout: InstallationLayout,
  { file, imagesFile, phrase, vault }: RestoreOptions,
  progress: Progress,
): Promise<BackupManifest> {
  const [keysDir, imagesDir] = [join(dir, "keys"), join(dir, "images")];
  const manifest = await reportStep(progress, "read", "reading the back-up", async () => {
    await unpack(resolve(file), keysDir, KEYS_CONTENT);
    if (imagesFile !== undefined) await unpack(resolve(imagesFile), imagesDir, IMAGES_CONTENT);
    const value = await readManifest(keysDir, file);
    return { value, detail: `of ${value.installation}, made ${value.madeAt}` };
  });
  await reportStep(progress, "vault", "taking over the keys", async () => {
    await askVault(layout, "adopt", { ...vault, from: join(keysDir, "vault"), phrase });
    return { value: undefined, detail: `opened by ${vault.method}` };
  });
  if (imagesFile !== undefined) {
    await reportStep(progress, "images", "putting the images in place", async () => {
      const placed = await placeImages(layout, imagesDir, manifest);
      return { value: undefined, detail: placed.join(", ") };
    });
  }
  await reportStep(progress, "site", "putting the site in force", async () => {
    if (manifest.siteVersion === null) return { value: undefined, detail: "the back-up has none" };
    const target = join(layout.siteVersionsDir, manifest.siteVersion);
    await rename(join(keysDir, "site"), target);
    await symlink(join("sites", manifest.siteVersion), layout.siteLink);
    return { value: undefined, detail: manifest.siteVersion };
  });
  return manifest;
}

async function placeImages(
  { volumesDir }: InstallationLayout,
  from: string,
  manifest: BackupManifest,
): Promise<readonly string[]> {
  const placed: string[] = [];
  for (const volume of manifest.volumes) {
    const name = imageOf(volume);
    const target = join(volumesDir, name);
    await mkdir(dirname(target), { recursive: true, mode: 0o700 });
    await rename(join(from, name), target);
    // Its reservation did not come along: holes are given their blocks back.
    await runCommand("fallocate", ["-l", String(volume.sizeBytes), "--", target], { timeoutMs: 600_000 });
    placed.push(name);
  }
  return placed;
}

/** @throws HostError `host-restore-running`, `host-restore-used` */
async function requireFresh(layout: InstallationLayout): Promise<void> {
  if (await isListening(layout.rootSocket)) {
    throw new HostError("host-restore-running", `the sensor ${layout.name} runs`, {
      advice: "set up an installation of another name, and restore there before its first `up`",
    });
  }
  const used =
    (await readdir(layout.volumesDir)).length > 0 || (await readdir(layout.siteVersionsDir)).length > 0;
  if (!used) return;
  throw new HostError("host-restore-used", `the installation ${layout.name} has data or a site of its own`, {
    advice: "restore into one that was set up and never started; `down --purge` makes room for it",
  });
}

async function readManifest(dir: string, file: string): Promise<BackupManifest> {
  try {
    return BackupManifest.parse(JSON.parse(await readFile(join(dir, "manifest.json"), "utf8")));
  } catch (cause) {
    throw unreadable(
      file,
      cause instanceof Error ? cause.message.slice(0, 200) : "its manifest is not readable",
    );
  }
}
