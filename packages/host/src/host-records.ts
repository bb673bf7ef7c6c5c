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

const RuntimeDaemon = z.strictObject({ kind: z.enum(["lxd", "incus"]), by: z.enum(["s6", "systemd"]) });
const HostRecords = z.strictObject({
  /** Debian packages that setup installed. */
  packages: z.array(z.string()),
  /** Files in which our line of subordinate ids was missing. */
  subordinateIds: z.array(z.enum(["/etc/subuid", "/etc/subgid"])),
  /** sysctl key → the value before, and ours. */
  sysctls: z.record(z.string(), z.strictObject({ before: z.string(), set: z.string() })),
  /** Daemons of runtimes that setup started, at most one of a kind: a service of ours, or the package's systemd unit. */
  runtimeDaemons: z.array(RuntimeDaemon),
});
export type HostRecords = z.infer<typeof HostRecords>;

/** As versions wrote it that knew of one daemon only. */
const FormerRecords = HostRecords.omit({ runtimeDaemons: true })
  .extend({ runtimeDaemon: RuntimeDaemon.nullable() })
  .transform(({ runtimeDaemon, ...rest }) => ({
    ...rest,
    runtimeDaemons: runtimeDaemon === null ? [] : [runtimeDaemon],
  }));

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
  return { packages: [], subordinateIds: [], sysctls: {}, runtimeDaemons: [] };
}

function parseRecords(text: string): HostRecords {
  try {
    return z.union([HostRecords, FormerRecords]).parse(JSON.parse(text));
  } catch (cause) {
    throw new HostError("host-record-unreadable", `${recordsFile} is damaged`, {
      advice: `correct or remove ${recordsFile}; without it, what setup changed on the host is not known`,
      cause,
    });
  }
}
