/**
 * What Bulkhead changed on the host outside of any one installation, written down so that it can be undone exactly.
 *
 * Invariants: a change is recorded before it is made, with what was there before; only the holder of the host lock
 * writes. What stands in no record is somebody else's and stays.
 */
import { mkdir, rm } from "node:fs/promises";
import { HOST_LAYOUT } from "@bulkhead/schema";
import * as z from "zod";
import { readTextFile, writeAtomically } from "./atomic-file.ts";
import { HostError } from "./error.ts";

const HostRecords = z.strictObject({
  /** Debian packages that setup installed. */
  packages: z.array(z.string()),
  /** Files in which our line of subordinate ids was missing. */
  subordinateIds: z.array(z.enum(["/etc/subuid", "/etc/subgid"])),
  /** sysctl key → the value before, and ours. */
  sysctls: z.record(z.string(), z.strictObject({ before: z.string(), set: z.string() })),
  /** The runtime's daemon where setup started it: a service of ours, or the package's systemd unit. */
  runtimeDaemon: z.strictObject({ kind: z.enum(["lxd", "incus"]), by: z.enum(["s6", "systemd"]) }).nullable(),
});
export type HostRecords = z.infer<typeof HostRecords>;

const recordsFile = `${HOST_LAYOUT.hostDir}/records.json`;
/** Written by the launcher where it had to install npm: one package a line. */
const launcherFile = `${HOST_LAYOUT.hostDir}/packages.launcher`;

/** @throws HostError `host-record-unreadable` */
export async function readRecords(): Promise<HostRecords> {
  const text = await readTextFile(recordsFile);
  const records = text === undefined ? emptyRecords() : parseRecords(text);
  const launcher = (await readTextFile(launcherFile))?.split("\n").filter((line) => line !== "");
  return launcher === undefined
    ? records
    : { ...records, packages: [...new Set([...records.packages, ...launcher])].toSorted() };
}

/** Changes the records; the caller holds the host lock. */
export async function changeRecords(change: (records: HostRecords) => HostRecords): Promise<HostRecords> {
  await mkdir(HOST_LAYOUT.hostDir, { recursive: true, mode: 0o700 });
  const records = HostRecords.parse(change(await readRecords()));
  const text = `${JSON.stringify(records, undefined, 2)}\n`;
  await writeAtomically(recordsFile, text, { uid: 0, gid: 0, mode: 0o600 });
  await rm(launcherFile, { force: true });
  return records;
}

function emptyRecords(): HostRecords {
  return { packages: [], subordinateIds: [], sysctls: {}, runtimeDaemon: null };
}

function parseRecords(text: string): HostRecords {
  try {
    return HostRecords.parse(JSON.parse(text));
  } catch (cause) {
    throw new HostError("host-record-unreadable", `${recordsFile} is damaged`, {
      advice: `correct or remove ${recordsFile}; without it, what setup changed on the host is not known`,
      cause,
    });
  }
}
