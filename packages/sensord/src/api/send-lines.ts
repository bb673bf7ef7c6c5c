/**
 * Streams records to a caller as NDJSON, no faster than the caller reads.
 *
 * What fails at once is still told as a problem; a source that fails later breaks the response
 * off, so that it does not look whole. A source that is quiet at first has its head sent all the
 * same: the caller shall know that it is being listened for.
 */
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyReply } from "fastify";
import { renderLines } from "../lines.ts";
import { describeError, type Log } from "../log.ts";
import { pause } from "../pause.ts";

const FIRST_WITHIN_MS = 250;

/** Throws what the source throws at first. */
export async function sendLines(
  records: AsyncIterable<unknown>,
  reply: FastifyReply,
  signal: AbortSignal,
  log: Log,
): Promise<FastifyReply> {
  const lines = renderLines(records);
  const first = lines.next();
  await Promise.race([first, pause(FIRST_WITHIN_MS, signal)]);
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, {
    "content-type": "application/x-ndjson; charset=utf-8",
    "cache-control": "no-store",
  });
  raw.flushHeaders();
  try {
    await pipeline(Readable.from(withFirst(first, lines), { highWaterMark: 16 }), raw);
  } catch (error) {
    if (!signal.aborted) log.warn("a stream broke off", describeError(error));
    raw.destroy();
  }
  return reply;
}

async function* withFirst(
  first: Promise<IteratorResult<string, void>>,
  rest: AsyncGenerator<string, void, undefined>,
): AsyncGenerator<string, void, undefined> {
  try {
    const { done, value } = await first;
    if (done === true) return;
    yield value;
    yield* rest;
  } finally {
    await rest.return();
  }
}
