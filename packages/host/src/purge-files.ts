/**
 * Removal of directories: the installation's own, and with the last installation those that all share.
 *
 * Invariants: nothing is removed while something is mounted below it, and a removal never enters another file
 * system, so that none reaches through a mount, also not through one that appears meanwhile; a shared parent goes
 * only when it is empty.
 */
import { lstat, readFile, rm, rmdir } from "node:fs/promises";
import { dirname } from "node:path";
import { HOST_LAYOUT, type InstallationLayout } from "@bulkhead/schema";
import { runCommand } from "./command.ts";
import { HostError, systemErrorCode } from "./error.ts";
import { LOCK_FILE } from "./host-lock.ts";
import { mountsUnder } from "./ownership.ts";
import { HOST_LOG_DIR } from "./runtime-daemon.ts";
import { allUnitNames } from "./service.ts";
import { tmpfilesFile, unitFile } from "./systemd-supervisor.ts";

/** @returns what was removed. @throws HostError `host-command-failed` if something is still mounted there */
export async function purgeInstallationFiles(layout: InstallationLayout): Promise<readonly string[]> {
  return await removeTrees([
    layout.runDir,
    layout.logDir,
    layout.libDir,
    layout.optDir,
    layout.etcDir,
    tmpfilesFile(layout),
    ...allUnitNames(layout).map(unitFile),
  ]);
}

/** With the last installation alone. The lock's own file goes too: its holder keeps the lock until it closes it. */
export async function purgeSharedFiles(): Promise<readonly string[]> {
  const removed = await removeTrees([
    HOST_LAYOUT.cacheDir,
    HOST_LAYOUT.servicesDir,
    HOST_LAYOUT.idmapDir,
    HOST_LAYOUT.hostDir,
    HOST_LOG_DIR,
  ]);
  // This very removal made it; it is not worth telling.
  await rm(LOCK_FILE, { force: true });
  const parents = ["/etc/bulkhead", "/opt/bulkhead", dirname(HOST_LAYOUT.servicesDir), dirname(HOST_LOG_DIR)];
  for (const parent of parents) if (await removeEmpty(parent)) removed.push(parent);
  await removeEmpty(dirname(LOCK_FILE));
  return removed;
}

async function removeTrees(paths: readonly string[]): Promise<string[]> {
  const mounted = mountsUnder(paths, await readFile("/proc/self/mountinfo", "utf8"));
  if (mounted.length > 0) {
    throw new HostError("host-command-failed", `still mounted: ${mounted.join(", ")}`, {
      advice: "see who uses it with `fuser -vm`, end that, and run `down --purge` again",
    });
  }
  const removed: string[] = [];
  for (const path of paths) {
    if (!(await exists(path))) continue;
    await runCommand("rm", ["--recursive", "--force", "--one-file-system", "--", path]);
    removed.push(path);
  }
  return removed;
}

async function removeEmpty(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ENOTEMPTY") return false;
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return false;
    throw error;
  }
}
