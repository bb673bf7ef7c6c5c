/**
 * Builds the packet tools (c/*.c) with the host's gcc, once for each content.
 *
 * Invariants: a program's file name carries the digest of its sources and flags, so that a stale one is never run;
 * it is compiled aside and renamed, so that builds beside each other do not meet.
 */
import { createHash, randomBytes } from "node:crypto";
import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { TestkitError } from "./error.ts";

/** Paths of the built programs. */
export interface PacketTools {
  readonly send: string;
  readonly recv: string;
  readonly frames: string;
}

/** Where builds are kept when the caller has no place of its own. */
export const PACKET_TOOLS_DIR = "/var/cache/bulkhead-dev/packet-tools";

const SOURCES = new URL("../c/", import.meta.url).pathname;
const FLAGS = ["-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror"] as const;

/** Builds what is not built yet; @throws TestkitError `testkit-compile-failed` with what the compiler said. */
export async function buildPacketTools(directory = PACKET_TOOLS_DIR): Promise<PacketTools> {
  await mkdir(directory, { recursive: true });
  const [send, recv, frames] = await Promise.all([
    build("send", directory),
    build("recv", directory),
    build("frames", directory),
  ]);
  return { send, recv, frames };
}

async function build(tool: keyof PacketTools, directory: string): Promise<string> {
  const source = join(SOURCES, `${tool}.c`);
  const digest = createHash("sha256").update(FLAGS.join(" "));
  for (const file of [source, join(SOURCES, "wire.h")]) digest.update(await readFile(file));
  const target = join(directory, `${tool}-${digest.digest("hex").slice(0, 16)}`);
  const isBuilt = await access(target).then(
    () => true,
    () => false,
  );
  if (isBuilt) return target;
  const fresh = `${target}.${randomBytes(4).toString("hex")}`;
  try {
    await runCommand("gcc", [...FLAGS, "-o", fresh, source], { timeoutMs: 120_000 });
    await rename(fresh, target);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TestkitError("testkit-compile-failed", `${tool}: ${reason}`, { cause });
  } finally {
    await rm(fresh, { force: true });
  }
  return target;
}
