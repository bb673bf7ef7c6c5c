/**
 * Bundle import: content that comes without a network, as a tar with manifest.json at its beginning, signed with
 * minisign by a key of the settings.
 *
 * Invariants: nothing of it is read before its signature held, and nothing is taken before all of it was there; each
 * file is then checked and taken as what was fetched is, and what is not newer than what is there is a replay.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { readTar } from "./archive.ts";
import { digestFile } from "./durable.ts";
import { EntryNames, shown } from "./entry-names.ts";
import { Problem } from "./problem.ts";
import { asProblem, type RunOutcome } from "./run-source.ts";
import { BundleManifest, type Settings } from "./settings.ts";
import type { SourceRunner } from "./source-runner.ts";
import { takeContent } from "./take-content.ts";
import { requireHash, verifyFile } from "./verify-content.ts";

export interface BundleOrder {
  readonly bundle: string;
  readonly signature: string;
  readonly keys: Settings["imports"]["keys"];
  /** On the volume of the stores; emptied before and after. */
  readonly workDir: string;
  readonly runners: ReadonlyMap<string, SourceRunner>;
  readonly now: () => number;
}

export interface ImportedFile {
  readonly source: string;
  readonly outcome: RunOutcome["outcome"];
  readonly reason: string | null;
  readonly detail: string;
}

const MANIFEST = "manifest.json";
const MOST_MANIFEST_BYTES = 64 * 1024;
const MOST_SIGNATURE_BYTES = 8 * 1024;

type BundledFile = BundleManifest["files"][number];

/** @throws Problem: of the bundle as a whole; then nothing of it was taken */
export async function importBundle(order: BundleOrder): Promise<readonly ImportedFile[]> {
  await requireSignature(order);
  await using stack = new AsyncDisposableStack();
  await rm(order.workDir, { recursive: true, force: true });
  await mkdir(order.workDir, { recursive: true, mode: 0o700 });
  stack.defer(() => rm(order.workDir, { recursive: true, force: true }));
  const manifest = await lay(order);
  const outcomes: ImportedFile[] = [];
  for (const [index, file] of manifest.files.entries()) {
    outcomes.push(await takeFile(order, manifest, file, workFile(order, index)));
  }
  return outcomes;
}

async function requireSignature({ bundle, signature, keys }: BundleOrder): Promise<void> {
  if (keys.length === 0) throw new Problem("signature", "imports.keys names nobody who may sign a bundle");
  if ((await stat(signature)).size > MOST_SIGNATURE_BYTES) throw new Problem("signature", "it is too long");
  await verifyFile(bundle, await digestFile(bundle), await readFile(signature, "utf8"), keys);
}

/** Lays the files of a bundle into the work directory, by their number in the manifest. */
async function lay(order: BundleOrder): Promise<BundleManifest> {
  let manifest: BundleManifest | null = null;
  const missing = new Map<string, number>();
  await readTar(createReadStream(order.bundle), new EntryNames(1_000), async (name, content) => {
    if (manifest === null) {
      if (name !== MANIFEST) throw new Problem("bundle", `it does not begin with ${MANIFEST}`);
      manifest = await readManifest(content);
      for (const [index, { file }] of manifest.files.entries()) missing.set(file, index);
      if (missing.size !== manifest.files.length) throw new Problem("bundle", "a file is named twice");
      return;
    }
    const index = missing.get(name);
    if (index === undefined) throw new Problem("bundle", `${MANIFEST} does not name ${shown(name)}`);
    missing.delete(name);
    await pipeline(content, createWriteStream(workFile(order, index)));
  });
  // A closure's assignment is not seen by the compiler.
  const read = manifest as BundleManifest | null;
  if (read === null) throw new Problem("bundle", "it is empty");
  const [first] = missing.keys();
  if (first !== undefined) throw new Problem("bundle", `${shown(first)} is not in it`);
  return read;
}

async function readManifest(content: AsyncIterable<Uint8Array>): Promise<BundleManifest> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of content) {
    bytes += chunk.byteLength;
    if (bytes > MOST_MANIFEST_BYTES) throw new Problem("bundle", `${MANIFEST} is too long`);
    chunks.push(chunk);
  }
  const parsed = BundleManifest.safeParse(jsonOf(Buffer.concat(chunks).toString("utf8")));
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw new Problem("bundle", `${MANIFEST}: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`);
}

async function takeFile(
  { runners, now }: BundleOrder,
  { created }: BundleManifest,
  { source: name, type, sha256 }: BundledFile,
  file: string,
): Promise<ImportedFile> {
  try {
    const runner = runners.get(name);
    if (runner === undefined) throw new Problem("bundle", "the settings name no such source");
    const { source } = runner;
    if (type !== source.as.type)
      throw new Problem("bundle", `it is ${type}; the source is ${source.as.type}`);
    const digests = await digestFile(file);
    requireHash(digests, sha256);
    if (digests.sizeBytes === 0) throw new Problem("empty", "it is empty");
    if (digests.sizeBytes > source.maxSize)
      throw new Problem("too-large", `more than ${source.maxSize} bytes`);
    const outcome = await runner.take((store) =>
      takeContent(store, source, {
        file,
        digests,
        origin: "import",
        verified: { by: "bundle", signedAtMs: Date.parse(created) },
        validators: null,
        mediaType: null,
        nowMs: now(),
      }),
    );
    return { source: name, outcome, reason: null, detail: "" };
  } catch (error) {
    const { kind, reason, message } = asProblem(error);
    return { source: name, outcome: kind, reason, detail: message };
  }
}

function workFile({ workDir }: BundleOrder, index: number): string {
  return join(workDir, String(index));
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which no schema takes
  }
}
