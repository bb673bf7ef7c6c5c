/**
 * Archives of a back-up: written whole, root's alone, and read with suspicion: every name must be one that a back-up
 * has, and what comes out may be files and directories only.
 */
import { mkdir, open, readdir, rename, rm } from "node:fs/promises";
import { runCommand } from "./command.ts";
import { HostError } from "./error.ts";

/** Some hundred gigabytes on a slow disk. */
const TIMEOUT_MS = 6 * 3_600_000;

/** Packs `names` below `dir`. A file that is there already is not replaced until the new one is whole. */
export async function pack(file: string, dir: string, names: readonly string[]): Promise<void> {
  const beside = `${file}.new`;
  await rm(beside, { force: true });
  // Made before tar writes to it, so that nobody else can read it from the first byte on.
  await using made = await open(beside, "wx", 0o600);
  const owner = ["--numeric-owner", "--owner=0", "--group=0"];
  const options = ["--create", "--sparse", "--format=gnu", ...owner, "--file", beside, "--directory", dir];
  try {
    await runCommand("tar", [...options, "--", ...names], { timeoutMs: TIMEOUT_MS });
    await made.sync();
    await rename(beside, file);
  } catch (error) {
    await rm(beside, { force: true });
    throw error;
  }
}

/** @throws HostError `host-backup-unreadable` */
export async function unpack(file: string, dir: string, accepted: RegExp): Promise<void> {
  const names = (await readArchive(file)).split("\n").filter((name) => name !== "" && !name.endsWith("/"));
  const odd = names.find((name) => !accepted.test(name));
  if (odd !== undefined) throw unreadable(file, `it holds ${JSON.stringify(odd.slice(0, 100))}`);
  await mkdir(dir, { mode: 0o700 });
  const careful = ["--no-same-owner", "--no-same-permissions", "--keep-old-files"];
  const options = ["--extract", "--sparse", ...careful, "--file", file, "--directory", dir];
  await runCommand("tar", options, { timeoutMs: TIMEOUT_MS });
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() && !entry.isDirectory()) throw unreadable(file, `${entry.name} is no file`);
  }
}

async function readArchive(file: string): Promise<string> {
  try {
    return await runCommand("tar", ["--list", "--quoting-style=escape", "--file", file], {
      timeoutMs: TIMEOUT_MS,
    });
  } catch (cause) {
    throw unreadable(file, cause instanceof Error ? cause.message : String(cause));
  }
}

export function unreadable(file: string, why: string): HostError {
  return new HostError("host-backup-unreadable", `${file} is no back-up of ours: ${why}`, {
    advice: "take a file that `bulkhead backup` wrote",
  });
}
