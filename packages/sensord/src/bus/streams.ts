/**
 * Streams: what the broker keeps: a stream of events for each emitter, a short log for each
 * instrument, a durable consumer for each events grant.
 *
 * Invariants: one emitter's stream is nobody else's, so that neither its message ids nor its
 * volume touch another's; everything is idempotent; a consumer is there for as long as its grant,
 * and goes before the permission does (a pull that waits would still be answered).
 */
import type { BusConsumer, BusPlan } from "@bulkhead/core";
import { type Name, PLATFORM_NAME, subjects } from "@bulkhead/schema";
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { SensordError } from "../error.ts";
import type { GateLimits, StreamLimits } from "./limits.ts";

export interface StreamSettings {
  readonly streams: StreamLimits;
  readonly gate: GateLimits;
  /** What all streams together may take. */
  readonly storeBytes: number;
}

type WantedStream = Partial<StreamConfig> & Pick<StreamConfig, "name" | "subjects" | "max_bytes">;

const MIB = 1024 * 1024;
/** A log line is at most 4,000 characters. */
const LOG_LINE_BYTES = 32 * 1024;
const OURS = /^(EV|LOG)_/;

/**
 * Makes, updates and removes streams. Instruments that are retained keep what they emitted; the streams of all others
 * that are not in the plan go.
 *
 * The broker refuses a stream whose size does not fit beside what the others may take, so those that shall have less
 * come first, then those that go, then those that shall have more.
 * @returns the names of those that were made
 * @throws SensordError `bus-stream-refused`
 */
export async function alignStreams(
  jsm: JetStreamManager,
  plan: BusPlan,
  retained: readonly Name[],
  settings: StreamSettings,
): Promise<ReadonlySet<string>> {
  const there = new Map<string, StreamConfig>();
  for await (const { config } of jsm.streams.list()) there.set(config.name, config);
  const wanted = wantedStreams(plan, retained, settings);
  const names = new Set(wanted.map(({ name }) => name));
  const made = new Set(streamNames(plan));
  const changed = wanted.filter((stream) => {
    const former = there.get(stream.name);
    return former === undefined ? made.has(stream.name) : !isAsWanted(former, stream);
  });
  const shrinks = ({ name, max_bytes }: WantedStream): boolean =>
    (there.get(name)?.max_bytes ?? 0) > max_bytes;
  for (const stream of changed.filter(shrinks)) await setStream(jsm, stream, true);
  for (const name of there.keys()) if (OURS.test(name) && !names.has(name)) await jsm.streams.delete(name);
  for (const stream of changed.filter((one) => !shrinks(one)))
    await setStream(jsm, stream, there.has(stream.name));
  return new Set(changed.flatMap(({ name }) => (there.has(name) ? [] : [name])));
}

async function setStream(jsm: JetStreamManager, stream: WantedStream, isThere: boolean): Promise<void> {
  try {
    if (isThere) await jsm.streams.update(stream.name, stream);
    else await jsm.streams.add(stream);
  } catch (cause) {
    const message = `the broker refused the stream ${stream.name}: ${String(cause)}`;
    throw new SensordError("bus-stream-refused", message, { cause });
  }
}

/** Removes the consumers whose grant is no more. */
export async function removeRevokedConsumers(jsm: JetStreamManager, plan: BusPlan): Promise<void> {
  const granted = new Set(plan.consumers.map(({ stream, name }) => `${stream} ${name}`));
  const revoked: { readonly stream: string; readonly name: string }[] = [];
  for await (const { config } of jsm.streams.list()) {
    if (!OURS.test(config.name)) continue;
    for await (const consumer of jsm.consumers.list(config.name)) {
      const durable = consumer.config.durable_name; // readers' own consumers have none
      if (durable !== undefined && !granted.has(`${config.name} ${durable}`)) {
        revoked.push({ stream: config.name, name: durable });
      }
    }
  }
  for (const { stream, name } of revoked) await jsm.consumers.delete(stream, name);
}

/**
 * Makes and updates the consumers of all grants. What a stream that was just made holds, its consumers get: nothing in
 * it is older than their grant. @throws SensordError `bus-stream-refused`
 */
export async function ensureConsumers(
  jsm: JetStreamManager,
  plan: BusPlan,
  madeStreams: ReadonlySet<string>,
  limits: StreamLimits,
): Promise<void> {
  for (const consumer of plan.consumers) {
    try {
      const { stream, name } = consumer;
      // Adding one that is there updates it; its position stays, and where it began cannot be changed.
      const begin =
        beginOf(await findConsumer(jsm, stream, name)) ??
        newBegin(madeStreams.has(stream) ? "all" : consumer.replay);
      await jsm.consumers.add(stream, { ...consumerConfig(consumer, limits), ...begin });
    } catch (cause) {
      const message = `the broker refused the consumer ${consumer.name} of ${consumer.stream}: ${String(cause)}`;
      throw new SensordError("bus-stream-refused", message, { cause });
    }
  }
}

function streamNames(plan: BusPlan): readonly string[] {
  return [
    ...emitters(plan).map(subjects.stream),
    ...plan.instruments.map(({ name }) => subjects.logStream(name)),
  ];
}

function emitters(plan: BusPlan): readonly Name[] {
  const names = plan.instruments.flatMap(({ name, emits }) => (emits.length > 0 ? [name] : []));
  return [PLATFORM_NAME, ...names];
}

/** Of the plan, and of those that are retained: each has its share, whether or not it emits now. */
function wantedStreams(
  plan: BusPlan,
  retained: readonly Name[],
  settings: StreamSettings,
): readonly WantedStream[] {
  const { streams, gate, storeBytes } = settings;
  const emitting = [...new Set([...emitters(plan), ...retained])];
  const logging = [...new Set([...plan.instruments.map(({ name }) => name), ...retained])];
  const shareBytes = Math.max(MIB, (0.9 * storeBytes - logging.length * streams.logBytes) / emitting.length);
  const common = {
    retention: RetentionPolicy.Limits,
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    num_replicas: 1,
    // What is stored is taken away by size, and by the platform up to a sequence; never one by one.
    deny_delete: true,
    allow_rollup_hdrs: false,
  } as const;
  return [
    ...emitting.map((name) => ({
      ...common,
      name: subjects.stream(name),
      subjects: [subjects.events(name)],
      max_bytes: Math.floor(Math.min(streams.eventBytes, shareBytes) / MIB) * MIB,
      max_msg_size: gate.payloadBytes + gate.headerBytes,
      duplicate_window: nanos(streams.duplicateWindowMs),
    })),
    ...logging.map((name) => ({
      ...common,
      name: subjects.logStream(name),
      subjects: [subjects.service(name, "log")],
      max_bytes: streams.logBytes,
      max_msg_size: LOG_LINE_BYTES,
      duplicate_window: nanos(1000),
    })),
  ];
}

type Begin = Pick<ConsumerConfig, "deliver_policy" | "opt_start_time">;

async function findConsumer(
  jsm: JetStreamManager,
  stream: string,
  name: string,
): Promise<ConsumerConfig | null> {
  try {
    return (await jsm.consumers.info(stream, name)).config;
  } catch (error) {
    if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.ConsumerNotFound) return null;
    throw error;
  }
}

function beginOf(config: ConsumerConfig | null): Partial<Begin> | null {
  if (config === null) return null;
  const { deliver_policy, opt_start_time } = config;
  return { deliver_policy, ...(opt_start_time === undefined ? {} : { opt_start_time }) };
}

function newBegin(replay: BusConsumer["replay"]): Partial<Begin> {
  if (replay === "none") return { deliver_policy: DeliverPolicy.New };
  if (replay === "all") return { deliver_policy: DeliverPolicy.All };
  // By the broker's stamps, which follow the host's clock as this does.
  const opt_start_time = new Date(Date.now() - replay).toISOString();
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time };
}

function consumerConfig(consumer: BusConsumer, limits: StreamLimits): Partial<ConsumerConfig> {
  return {
    durable_name: consumer.name,
    filter_subject: consumer.filterSubject,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(limits.ackWaitMs),
    max_ack_pending: limits.ackPending,
    max_waiting: limits.pullWaiting,
    max_batch: limits.pullBatch,
  };
}

function isAsWanted(former: StreamConfig, wanted: WantedStream): boolean {
  const had: Readonly<Record<string, unknown>> = { ...former };
  return Object.entries(wanted).every(
    ([key, value]) => JSON.stringify(had[key] ?? false) === JSON.stringify(value),
  );
}
