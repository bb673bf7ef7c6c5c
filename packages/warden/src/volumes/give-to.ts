/**
 * Whose a data directory is. Links are never followed, and nothing may run on it meanwhile.
 */
import { stat } from "node:fs/promises";
import type { Commands } from "../commands.ts";
import type { VolumeOwner } from "./volume-store.ts";

/** Millions of files on a slow disk. */
const TIMEOUT_MS = 1_800_000;

/**
 * Makes all of it the owner's where its top is not: it is new, or comes from another sensor, or its instrument was
 * given other ids. `chown` changes the top last, so that a crash leaves the work to be done again.
 */
export async function giveTo(dir: string, { uid, gid }: VolumeOwner, commands: Commands): Promise<void> {
  const found = await stat(dir);
  if (found.uid === uid && found.gid === gid) return;
  const options = ["--recursive", "--no-dereference", "-P"];
  await commands.run(["chown", ...options, "--", `${uid}:${gid}`, dir], { timeoutMs: TIMEOUT_MS });
}
