/**
 * Ranges of host user ids, one for each instrument on the host, handed out once and never again.
 *
 * Invariants: a claim is a file that exactly one process could create (O_EXCL), named for its base; claims outlive
 * instruments and installations, so what one instrument left on a disk is never owned by another; an instrument keeps
 * its base over re-creations of its container. It neither writes /etc/subuid nor chowns anything.
 */
import { link, mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { Name } from "@bulkhead/schema";
import * as z from "zod";
import { WardenError } from "../error.ts";
import { isErrno, readIfPresent } from "../site/read-file.ts";

/** Ids that each container gets. */
export const IDMAP_SIZE = 65_536;
/** Base of the first claim; far above what distributions give to people and to other runtimes. */
export const IDMAP_FIRST_BASE = 1_000_000_000;
/** As many as the line `root:1000000000:655360000` in /etc/subuid and /etc/subgid holds. */
export const IDMAP_COUNT = 10_000;
/** The unprivileged user inside each container; on the host it is base + 1000. */
export const INSTRUMENT_UID = 1000;

export interface IdmapClaims {
  /** Base of the instrument's range; claimed at the first call. See idmapClaims for what is thrown. */
  baseOf(instrument: string): Promise<number>;
  /** The base if there is one already; claims nothing. */
  recordedBase(instrument: string): Promise<number | null>;
}

export interface IdmapPlaces {
  readonly installation: string;
  /** Claims of all installations: HOST_LAYOUT.idmapDir. */
  readonly claimsDir: string;
  /** This installation's record of which claim is whose, below its wardenDir. */
  readonly recordsDir: string;
}

const Claim = z.strictObject({ installation: z.string(), instrument: Name });

/**
 * @throws (its methods) WardenError `idmap-exhausted`; `idmap-claim-foreign` when the recorded claim is missing or
 *   belongs to somebody else, as after copying directories from another host
 */
export function idmapClaims(places: IdmapPlaces): IdmapClaims {
  const recordedBase = async (instrument: string): Promise<number | null> => {
    const record = await readRecord(join(places.recordsDir, Name.parse(instrument)));
    if (record !== null) await requireOwnClaim(places, instrument, record);
    return record;
  };
  return {
    recordedBase,
    async baseOf(instrument) {
      const known = await recordedBase(instrument);
      if (known !== null) return known;
      const base = await claim(places, instrument);
      if (await record(places.recordsDir, instrument, base)) return base;
      // Another call of this installation was quicker: its claim counts, and ours is never used.
      return (await recordedBase(instrument)) ?? base;
    },
  };
}

/**
 * Requires that root may map the whole range, in both files.
 * @throws WardenError `idmap-subid-missing` {file, line}
 */
export async function requireSubordinateIds(
  files: readonly string[] = ["/etc/subuid", "/etc/subgid"],
): Promise<void> {
  for (const file of files) {
    const lines = ((await readIfPresent(file)) ?? "").split("\n");
    const holds = lines.some((line) => {
      const [user, first, count] = line.split(":");
      if (user !== "root" && user !== "0") return false;
      const end = Number(first) + Number(count);
      return Number(first) <= IDMAP_FIRST_BASE && end >= IDMAP_FIRST_BASE + IDMAP_COUNT * IDMAP_SIZE;
    });
    if (holds) continue;
    const line = `root:${IDMAP_FIRST_BASE}:${IDMAP_COUNT * IDMAP_SIZE}`;
    throw new WardenError("idmap-subid-missing", `${file} lacks the line ${line}`, {
      fields: { file, line },
    });
  }
}

async function claim(places: IdmapPlaces, instrument: string): Promise<number> {
  await mkdir(places.claimsDir, { recursive: true, mode: 0o700 });
  const taken = new Set(await readdir(places.claimsDir));
  const text = JSON.stringify({ installation: places.installation, instrument });
  for (let n = 0; n < IDMAP_COUNT; n += 1) {
    const base = IDMAP_FIRST_BASE + n * IDMAP_SIZE;
    if (!taken.has(String(base)) && (await createExclusively(join(places.claimsDir, `${base}`), text)))
      return base;
  }
  throw new WardenError("idmap-exhausted", `all ${IDMAP_COUNT} id ranges of this host are used`, {
    fields: { claimsDir: places.claimsDir },
  });
}

/** False where the file is there already. What is written is on the disk when this returns. */
async function createExclusively(path: string, text: string): Promise<boolean> {
  try {
    await using file = await open(path, "wx", 0o600);
    await file.writeFile(text);
    await file.sync();
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  }
}

/** Appears whole or not at all, and never replaces: written aside, then linked. */
async function record(recordsDir: string, instrument: string, base: number): Promise<boolean> {
  await mkdir(recordsDir, { recursive: true, mode: 0o700 });
  const path = join(recordsDir, instrument);
  const aside = join(recordsDir, `.${instrument}.${base}`);
  await createExclusively(aside, `${base}\n`);
  try {
    await link(aside, path);
    return true;
  } catch (error) {
    if (isErrno(error, "EEXIST")) return false;
    throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

async function readRecord(path: string): Promise<number | null> {
  try {
    return z.coerce
      .number()
      .int()
      .min(IDMAP_FIRST_BASE)
      .parse((await readFile(path, "utf8")).trim());
  } catch (error) {
    if (isErrno(error, "ENOENT")) return null;
    throw error;
  }
}

async function requireOwnClaim(places: IdmapPlaces, instrument: string, base: number): Promise<void> {
  const fields = { instrument, base };
  const text = await readFile(join(places.claimsDir, String(base)), "utf8").catch((cause: unknown) => {
    throw new WardenError("idmap-claim-foreign", `the claim of id range ${base} is missing`, {
      cause,
      fields,
    });
  });
  const owner = Claim.safeParse(parseJson(text));
  if (owner.data?.installation === places.installation && owner.data.instrument === instrument) return;
  throw new WardenError("idmap-claim-foreign", `id range ${base} is not ${instrument}'s`, { fields });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // an unreadable claim is nobody's; the caller says so
  }
}
