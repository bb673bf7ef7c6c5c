/** Events a second from some instruments to one subscriber at the broker, and how long one takes at a modest pace. */
import type { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import type { ChildProgram } from "./child-process.ts";
import { type Gates, SINK, userOf } from "./gate-host.ts";
import {
  connectRaw,
  DELIVERED_BYTES,
  frameOf,
  PAYLOAD_BYTES,
  type Place,
  STAMP_DIGITS,
  subscribeAll,
} from "./raw-client.ts";
import type { WriteTask } from "./writer.ts";

export const WAYS = ["gate", "direct"] as const;
export type Way = (typeof WAYS)[number];

const PACE_MS = 4;
const SENT_AT_ONCE = 4;

export function placeOf(gates: Gates, way: Way, instrument: number): Place {
  const path = gates.paths[instrument];
  if (path === undefined) throw new RangeError(`no instrument ${instrument}`);
  return way === "gate" ? { path } : { host: "127.0.0.1", port: gates.port };
}

/** Events a second of all instruments together, until the last has arrived. */
export async function measureThroughput(
  gates: Gates,
  writer: ChildProgram,
  { way, instruments, messages }: { way: Way; instruments: number; messages: number },
): Promise<number> {
  const each = Math.ceil(messages / instruments / 50) * 50;
  const sink = await subscribeAll(gates.port, SINK, SINK);
  const arrived = countDown(sink, each * instruments);
  const task: WriteTask = {
    writers: Array.from({ length: instruments }, (_, instrument) => {
      return { instrument, user: userOf(instrument), place: placeOf(gates, way, instrument) };
    }),
    messages: each,
  };
  const beganMs = performance.now();
  writer.tell(task);
  await Promise.all([writer.line(), arrived]);
  return (each * instruments) / ((performance.now() - beganMs) / 1_000);
}

/** Milliseconds from the write to the subscriber, of events that the instruments send in turn, 1,000 a second in all. */
export async function measureLatency(
  gates: Gates,
  { way, instruments, messages }: { way: Way; instruments: number; messages: number },
): Promise<readonly number[]> {
  await using stack = new AsyncDisposableStack();
  const sink = await subscribeAll(gates.port, SINK, SINK);
  stack.defer(() => void sink.destroy());
  const sources: Socket[] = [];
  for (let instrument = 0; instrument < instruments; instrument += 1) {
    const user = userOf(instrument);
    const source = await connectRaw(placeOf(gates, way, instrument), user, user);
    stack.defer(() => void source.destroy());
    sources.push(source);
  }
  const took: number[] = [];
  const { promise: arrived, resolve } = Promise.withResolvers<void>();
  let rest = Buffer.alloc(0);
  sink.on("data", (chunk: Buffer) => {
    const nowMs = performance.now();
    rest = Buffer.concat([rest, chunk]);
    for (; rest.length >= DELIVERED_BYTES; rest = rest.subarray(DELIVERED_BYTES)) {
      const from = DELIVERED_BYTES - PAYLOAD_BYTES - 2;
      took.push(nowMs - Number(rest.toString("latin1", from, from + STAMP_DIGITS)) / 1_000);
    }
    if (took.length >= messages) resolve();
  });
  for (let sent = 0; sent < messages;) {
    for (let i = 0; i < SENT_AT_ONCE && sent < messages; i += 1, sent += 1) {
      const instrument = sent % instruments;
      const stamp = String(Math.round(performance.now() * 1_000)).padStart(STAMP_DIGITS, "0");
      sources[instrument]?.write(frameOf(instrument, stamp));
    }
    await delay(PACE_MS);
  }
  await arrived;
  return took;
}

/** Resolves when `messages` frames have come, and lets go of the connection. */
function countDown(sink: Socket, messages: number): Promise<void> {
  let left = messages * DELIVERED_BYTES;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  sink.on("close", () => reject(new Error("the subscriber was disconnected")));
  sink.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left > 0) return;
    resolve();
    sink.destroy();
  });
  return promise;
}
