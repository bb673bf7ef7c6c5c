/**
 * Event reader: what instruments emitted, out of the broker's streams: the newest that match, and
 * then those that come.
 *
 * Invariants: each event once, by its id; a record that cannot be read is left out and counted
 * against its emitter, and never ends the reading; a slow caller slows the reading down. It keeps
 * nothing: the streams are the only store.
 */
import { type EventQuery, type EventRecord, type Name, subjects } from "@bulkhead/schema";
import type { JsMsg } from "@nats-io/jetstream";
import { pause } from "../pause.ts";
import { readEvent } from "./event-record.ts";
import { LiveMerge } from "./live-merge.ts";
import type { Quarantine } from "./quarantine.ts";
import { RecentIds } from "./recent-ids.ts";
import { storedMs, type StreamTail, type TailSource } from "./stream-tail.ts";

export interface EventReaderPorts {
  readonly tail: StreamTail;
  readonly quarantine: Quarantine;
  /** Who has a stream of events now. */
  emitters(): readonly Name[];
}

const NEW_EMITTERS_MS = 500;
const REMEMBERED_IDS = 20_000;

/** Oldest first; ends after what is stored, or with `follow` when `signal` is aborted. */
export async function* readEvents(
  ports: EventReaderPorts,
  query: EventQuery,
  signal: AbortSignal,
): AsyncGenerator<EventRecord, void, undefined> {
  const ended = new AbortController();
  const both = AbortSignal.any([signal, ended.signal]);
  const ids = new Map<Name, RecentIds>();
  const fresh = ({ instrument, id }: EventRecord): boolean => {
    const recent = ids.get(instrument) ?? new RecentIds(REMEMBERED_IDS);
    ids.set(instrument, recent);
    return recent.isNew(id);
  };
  try {
    const ends = new Map<string, number>();
    const since = query.since === undefined ? null : Date.parse(query.since);
    const stored = ports.tail.newest(
      sourcesOf(ports, query),
      { limit: query.limit, sinceMs: since },
      ends,
      both,
    );
    for await (const message of stored) {
      const event = readOrQuarantine(ports, message);
      if (event !== null && fresh(event)) yield event;
    }
    if (!query.follow) return;
    const live = new LiveMerge<JsMsg>(both);
    void addSources(ports, query, ends, live, both);
    for await (const message of live.items()) {
      const event = readOrQuarantine(ports, message);
      if (event !== null && fresh(event)) yield event;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    ended.abort();
  }
}

/** Adds each matching stream once, those of instruments that come later too. */
async function addSources(
  ports: EventReaderPorts,
  query: EventQuery,
  ends: ReadonlyMap<string, number>,
  live: LiveMerge<JsMsg>,
  signal: AbortSignal,
): Promise<void> {
  const added = new Set<string>();
  while (!signal.aborted) {
    const sources = sourcesOf(ports, query);
    for (const source of sources) {
      if (added.has(source.stream)) continue;
      added.add(source.stream);
      live.add(ports.tail.follow(source, ends.get(source.stream) ?? 0, signal));
    }
    // One that left and comes back has a new stream.
    for (const stream of added) if (!sources.some((s) => s.stream === stream)) added.delete(stream);
    await pause(NEW_EMITTERS_MS, signal);
  }
}

function sourcesOf(ports: EventReaderPorts, { instrument, type }: EventQuery): readonly TailSource[] {
  return ports
    .emitters()
    .filter((name) => instrument === undefined || name === instrument)
    .map((name) => ({
      stream: subjects.stream(name),
      filterSubject: type === undefined ? subjects.events(name) : subjects.event(name, type),
    }));
}

function readOrQuarantine(ports: EventReaderPorts, message: JsMsg): EventRecord | null {
  const reading = readEvent({
    subject: message.subject,
    sequence: message.seq,
    storedMs: storedMs(message),
    header: (name) => message.headers?.get(name) ?? "",
    text: () => message.string(),
  });
  if (reading.ok) return reading.event;
  const emitter = message.subject.split(".")[1] ?? "";
  ports.quarantine.note(emitter, message.seq, reading.reason);
  return null;
}
