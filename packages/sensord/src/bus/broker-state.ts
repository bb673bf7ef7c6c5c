/**
 * Broker state: the passwords of the bus and the size of its store, kept so that a restart of
 * sensord changes nothing for a broker that runs.
 *
 * Invariants: mode 0600; a password is 32 random bytes; no instrument ever sees one (the gate puts
 * it in); a user that left and comes back gets a new one.
 */
import { randomBytes } from "node:crypto";
import { readFile, rename, statfs, writeFile } from "node:fs/promises";
import * as z from "zod";
import type { BrokerPaths } from "./broker-config.ts";

const BrokerState = z.strictObject({
  storeBytes: z.int().positive(),
  passwords: z.record(z.string(), z.string().min(40)),
});
export type BrokerState = z.infer<typeof BrokerState>;

/** A broker cannot change the size of its store while it runs, so it is decided once. */
const STORE_SHARE = 0.5;
const SMALLEST_STORE_BYTES = 64 * 1024 * 1024;

/** The state as it was kept; null where there is none that can be read. */
export async function readBrokerState({ stateFile }: BrokerPaths): Promise<BrokerState | null> {
  const text = await readFile(stateFile, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
    throw error;
  });
  if (text === null) return null;
  // A file that was cut off costs every connection a new password, and nothing else.
  try {
    return BrokerState.parse(JSON.parse(text));
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof z.ZodError) return null;
    throw error;
  }
}

/** Keeps a state that has a password for each of these users and for no other. */
export async function keepBrokerState(
  paths: BrokerPaths,
  former: BrokerState | null,
  users: readonly string[],
  storeBytes: number,
): Promise<BrokerState> {
  const state: BrokerState = {
    storeBytes: former?.storeBytes ?? (await fittingStore(paths.dir, storeBytes)),
    passwords: Object.fromEntries(
      users.map((user) => [user, former?.passwords[user] ?? randomBytes(32).toString("base64url")]),
    ),
  };
  if (JSON.stringify(state) !== JSON.stringify(former)) {
    await writeFile(`${paths.stateFile}.next`, `${JSON.stringify(state)}\n`, { mode: 0o600 });
    await rename(`${paths.stateFile}.next`, paths.stateFile);
  }
  return state;
}

async function fittingStore(dir: string, wantedBytes: number): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  const shareBytes = Math.floor(bavail * bsize * STORE_SHARE);
  return Math.max(SMALLEST_STORE_BYTES, Math.min(wantedBytes, shareBytes));
}
