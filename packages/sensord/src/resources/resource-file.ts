/**
 * Resource file: which version of which resource there is, and who has what of it.
 *
 * It is the truth about the spool: a file that it does not name is nobody's and is removed, and what it
 * names was flushed before it was written. It is replaced whole.
 */
import { readFile, rename } from "node:fs/promises";
import {
  DottedName,
  MediaType,
  Name,
  ReceiverState,
  ResourceName,
  ResourceVersion,
  Sha256,
} from "@bulkhead/schema";
import * as z from "zod";
import { SensordError } from "../error.ts";
import { describeError, type Log } from "../log.ts";
import { isCode, writeDurably } from "./durable.ts";

export const KeptVersion = z.strictObject({
  version: ResourceVersion,
  sha256: Sha256,
  sizeBytes: z.int(),
  mediaType: MediaType,
  deliveredAt: z.string(),
});
export type KeptVersion = Readonly<z.infer<typeof KeptVersion>>;

/** What one receiver has of a resource. */
const Copy = z.strictObject({
  to: Name,
  current: KeptVersion.nullable(),
  /** It took `current` without an error. */
  good: z.boolean(),
  /** The newest before `current` that it took without an error. */
  lastGood: KeptVersion.nullable(),
  /** Of the publisher's current version, whether it lies there or not. */
  state: ReceiverState,
  /** What it said, or why it has not that version. */
  detail: z.string(),
});
export type ReceiverCopy = Readonly<z.infer<typeof Copy>>;

const Kept = z.strictObject({
  from: Name,
  type: DottedName,
  name: ResourceName,
  /** Deliveries so far. */
  count: z.int(),
  current: KeptVersion,
  copies: z.array(Copy).readonly(),
});
export type KeptResource = Readonly<z.infer<typeof Kept>>;

const ResourceFile = z.strictObject({ version: z.literal(1), resources: z.array(Kept) });

/** Throws `resources-unreadable`. */
export async function readResourceFile(file: string, log: Log): Promise<readonly KeptResource[]> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (cause) {
    if (isCode(cause, "ENOENT")) return [];
    throw new SensordError("resources-unreadable", `${file} cannot be read`, { cause });
  }
  try {
    return ResourceFile.parse(JSON.parse(text)).resources;
  } catch (error) {
    log.error("the state of resources does not parse and is set aside", { file, ...describeError(error) });
    await rename(file, `${file}.broken`);
    return [];
  }
}

/** @throws what the file system says */
export async function writeResourceFile(file: string, resources: readonly KeptResource[]): Promise<void> {
  await writeDurably(file, JSON.stringify({ version: 1, resources }));
}
