/** Builds packet-hog.c with the host's gcc, statically: an instrument's image has no library of the host's. */
import { mkdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { PACKET_TOOLS_DIR, runCommand } from "@bulkhead/testkit";

const SOURCE = join(import.meta.dirname, "packet-hog.c");

/** @returns the program's path. @throws TestkitError with what the compiler said */
export async function buildPacketHog(): Promise<string> {
  await mkdir(PACKET_TOOLS_DIR, { recursive: true });
  const { mtimeMs } = await stat(SOURCE);
  const target = join(PACKET_TOOLS_DIR, `packet-hog-${Math.round(mtimeMs)}`);
  await runCommand("gcc", [
    "-O2",
    "-std=gnu17",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-static",
    "-o",
    target,
    SOURCE,
  ]);
  return target;
}
