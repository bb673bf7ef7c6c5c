/**
 * Log reader: the last lines that an instrument logged over the bus, and then those that come.
 *
 * A line that does not have its schema is left out and counted against the instrument.
 */
import { LogLine, type Name, subjects } from "@bulkhead/schema";
import type { JsMsg } from "@nats-io/jetstream";
import type { StreamTail } from "./stream-tail.ts";

export interface LogReaderPorts {
  readonly tail: StreamTail;
  badLine(instrument: Name): void;
}

export interface LogQuery {
  readonly limit: number;
  readonly follow: boolean;
}

/** Oldest first; ends after what is stored, or with `follow` when `signal` is aborted. */
export async function* readLog(
  ports: LogReaderPorts,
  instrument: Name,
  query: LogQuery,
  signal: AbortSignal,
): AsyncGenerator<LogLine, void, undefined> {
  const source = {
    stream: subjects.logStream(instrument),
    filterSubject: subjects.service(instrument, "log"),
  };
  const ends = new Map<string, number>();
  try {
    const stored = ports.tail.newest([source], { limit: query.limit, sinceMs: null }, ends, signal);
    yield* linesOf(ports, instrument, stored);
    if (!query.follow) return;
    yield* linesOf(ports, instrument, ports.tail.follow(source, ends.get(source.stream) ?? 0, signal));
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function* linesOf(
  ports: LogReaderPorts,
  instrument: Name,
  messages: AsyncIterable<JsMsg>,
): AsyncGenerator<LogLine, void, undefined> {
  for await (const message of messages) {
    const line = LogLine.safeParse(parseJson(message.string()));
    if (line.success) yield line.data;
    else ports.badLine(instrument);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which no schema takes
  }
}
