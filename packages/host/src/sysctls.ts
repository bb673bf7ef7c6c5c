/**
 * Kernel settings that the platform needs on the host: enough inotify instances for many containers, since one
 * container may use up those of host root.
 *
 * Invariants: a value is only ever raised; what it was is recorded and put back with the last installation, unless
 * somebody changed it since. @see Documentation/admin-guide/sysctl/fs.rst
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { writeAtomically } from "./atomic-file.ts";
import { changeRecords, readRecords } from "./host-records.ts";

const NEEDED: Readonly<Record<string, number>> = { "fs.inotify.max_user_instances": 1024 };
/** Read at boot by systemd-sysctl or procps, where the host has either. */
const bootFile = "/etc/sysctl.d/60-bulkhead.conf";

/** @returns the keys that had to be raised */
export async function ensureSysctls(): Promise<readonly string[]> {
  const raised: string[] = [];
  for (const [key, needed] of Object.entries(NEEDED)) {
    const before = (await readFile(sysctlFile(key), "utf8")).trim();
    if (Number(before) >= needed) continue;
    const set = String(needed);
    await changeRecords((records) => ({
      ...records,
      sysctls: { [key]: { before, set }, ...records.sysctls },
    }));
    await writeFile(sysctlFile(key), set);
    raised.push(key);
  }
  const ours = Object.entries((await readRecords()).sysctls);
  if (ours.length > 0) {
    const lines = ours.map(([key, { set }]) => `${key} = ${set}\n`);
    await writeAtomically(bootFile, `# Set by Bulkhead; removed with it.\n${lines.join("")}`);
  }
  return raised;
}

/** @returns the keys that were put back */
export async function restoreSysctls(): Promise<readonly string[]> {
  const { sysctls } = await readRecords();
  const restored: string[] = [];
  for (const [key, { before, set }] of Object.entries(sysctls)) {
    if ((await readFile(sysctlFile(key), "utf8")).trim() !== set) continue;
    await writeFile(sysctlFile(key), before);
    restored.push(key);
  }
  await rm(bootFile, { force: true });
  return restored;
}

export function sysctlFile(key: string): string {
  return `/proc/sys/${key.replaceAll(".", "/")}`;
}
