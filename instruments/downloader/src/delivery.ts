/**
 * Delivery: hands the last good version of a source to the platform, which passes it on to whom the site grants it.
 *
 * A version is handed over once; whether it was, is in the record, so that a restart hands over what was left.
 */
import { open } from "node:fs/promises";
import { addAbortSignal } from "node:stream";
import type { Source } from "./settings.ts";
import type { Delivery, SourceRecord } from "./source-record.ts";
import type { SourceStore } from "./source-store.ts";

/** `deliver` of the SDK's context. */
export type Deliver = (options: {
  readonly type: string;
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  readonly mediaType?: string;
  readonly body: AsyncIterable<Uint8Array>;
}) => Promise<{ readonly version: string; readonly receivers: readonly string[] }>;

export function isDelivered({ current, delivered }: SourceRecord, { as }: Pick<Source, "as">): boolean {
  if (current === null) return true;
  return delivered?.sha256 === current.sha256 && delivered.type === as.type && delivered.name === as.name;
}

/** An abort ends the content, and so the hand-over. @throws what `deliver` throws */
export async function deliverCurrent(
  deliver: Deliver,
  store: SourceStore,
  { as }: Pick<Source, "as">,
  { now, signal }: { readonly now: () => number; readonly signal: AbortSignal },
): Promise<Delivery | null> {
  const { current } = store.record;
  if (current === null) return null;
  // Opened at once: a newer version may take its place meanwhile, and this one goes on being read.
  await using file = await open(store.contentPath(current), "r");
  const { sha256, sizeBytes, mediaType } = current;
  const { version, receivers } = await deliver({
    ...as,
    sizeBytes,
    sha256,
    ...(mediaType === null ? {} : { mediaType }),
    body: addAbortSignal(signal, file.createReadStream({ autoClose: false })),
  });
  const at = new Date(now()).toISOString();
  const delivered: Delivery = { ...as, sha256, version, receivers: [...receivers], at };
  await store.change({ delivered });
  return delivered;
}
