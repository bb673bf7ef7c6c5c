/**
 * Takes a verified content as a source's new version: nothing that is older than what is there, and no archive that
 * could harm whoever opens it.
 *
 * The same for what was fetched and what was imported. Until the last step, the former version is in force.
 */
import { rm } from "node:fs/promises";
import { createHash } from "node:crypto";
import { readArchive } from "./archive.ts";
import { digestFile, type FileDigests } from "./durable.ts";
import type { Validators } from "./http-head.ts";
import { Problem } from "./problem.ts";
import { MOST_BYTES, type Source } from "./settings.ts";
import type { Version } from "./source-record.ts";
import type { SourceStore } from "./source-store.ts";
import type { Verified } from "./verify-content.ts";

export interface Candidate {
  readonly file: string;
  readonly digests: FileDigests;
  readonly origin: Version["origin"];
  readonly verified: Verified;
  readonly validators: Validators | null;
  readonly mediaType: string | null;
  readonly nowMs: number;
}

/** @returns whether it is another than what was there @throws Problem `older`, `archive`, `empty`, `too-large` */
export async function takeContent(
  store: SourceStore,
  source: Source,
  candidate: Candidate,
): Promise<"new" | "unchanged"> {
  const { current, newestSignedAt } = store.record;
  const { signedAtMs } = candidate.verified;
  const key = settingsKey(source);
  const isSame =
    current !== null && current.fetchedSha256 === candidate.digests.sha256 && current.settingsKey === key;
  if (!isSame) requireNewer(store, candidate);
  const newest = Math.max(signedAtMs ?? 0, newestSignedAt === null ? 0 : Date.parse(newestSignedAt));
  const change = { newestSignedAt: newest === 0 ? null : new Date(newest).toISOString() };
  if (isSame) {
    await rm(candidate.file, { force: true });
    const validators = candidate.validators ?? current.validators;
    await store.change({ ...change, current: { ...current, validators } });
    return "unchanged";
  }
  const made = await unpack(store, source, candidate).catch(async (error: unknown) => {
    await rm(store.unpackedPath, { force: true });
    throw error;
  });
  const { sha256, sizeBytes } = made.digests;
  const version: Version = {
    sha256,
    sizeBytes,
    fetchedSha256: candidate.digests.sha256,
    mediaType: made.file === candidate.file ? candidate.mediaType : null,
    origin: candidate.origin,
    verifiedBy: candidate.verified.by,
    validators: candidate.validators,
    settingsKey: key,
    at: new Date(candidate.nowMs).toISOString(),
    asOf: new Date(asOfMs(candidate)).toISOString(),
  };
  await store.commit(made.file, version, change);
  return current?.sha256 === sha256 ? "unchanged" : "new";
}

/** Of the settings that decide what is taken. */
export function settingsKey({ url, verify, archive, contentTypes, maxSize }: Source): string {
  const text = JSON.stringify([url, verify, archive ?? null, contentTypes ?? null, maxSize]);
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

/** What somebody signed before something that was taken is a replay, whoever sends it. */
function requireNewer(store: SourceStore, { origin, verified }: Candidate): void {
  const { current, newestSignedAt } = store.record;
  if (verified.signedAtMs === null) return;
  const newestMs = newestSignedAt === null ? -Infinity : Date.parse(newestSignedAt);
  const currentMs = origin === "import" && current !== null ? Date.parse(current.asOf) : -Infinity;
  const leastMs = Math.max(newestMs, currentMs);
  // Two bundles of one time are two answers to one question; a host may sign twice in a second.
  const isOlder = origin === "import" ? verified.signedAtMs <= leastMs : verified.signedAtMs < leastMs;
  if (!isOlder) return;
  const [is, has] = [new Date(verified.signedAtMs).toISOString(), new Date(leastMs).toISOString()];
  throw new Problem("older", `it is of ${is}; what is there is of ${has}`);
}

/** A host's date is believed where it makes the content older, not where it makes it newer than its arrival. */
function asOfMs({ verified, validators, nowMs }: Candidate): number {
  if (verified.signedAtMs !== null) return verified.signedAtMs;
  const lastModified = validators?.lastModified ?? null;
  return lastModified === null ? nowMs : Math.min(nowMs, Date.parse(lastModified));
}

/** @returns the file to be handed over @throws Problem `archive`, `empty`, `too-large` */
async function unpack(
  store: SourceStore,
  { archive }: Source,
  { file, digests }: Candidate,
): Promise<{ readonly file: string; readonly digests: FileDigests }> {
  if (archive === undefined) return { file, digests };
  const { format, maxUnpacked, maxEntries } = archive;
  const to = store.unpackedPath;
  const wanted = format === "gzip" ? (archive.unpack ? null : undefined) : archive.member;
  const copy = wanted === undefined ? null : { to, member: wanted };
  await readArchive({ file, format, maxUnpacked, maxEntries, copy });
  if (copy === null) return { file, digests };
  const inside = await digestFile(to);
  if (inside.sizeBytes === 0) throw new Problem("empty", "what was unpacked is empty");
  if (inside.sizeBytes > MOST_BYTES)
    throw new Problem("too-large", `what was unpacked has more than ${MOST_BYTES} bytes`);
  await rm(file, { force: true });
  return { file: to, digests: inside };
}
