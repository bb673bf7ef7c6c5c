/**
 * Ledger loop: reads the taps' counters every five seconds and emits what changed every ten, as
 * `capture.ledger` events of the platform, one for each tap.
 *
 * While warden is away nothing is read, while the broker is away nothing is emitted; both are
 * made up for by themselves, since every figure is a sum.
 */
import type { LedgerRow, Name } from "@bulkhead/schema";
import type { Ledger } from "./ledger.ts";
import { describeError, type Log } from "./log.ts";
import { pause } from "./pause.ts";

export const LEDGER_EVENT = "capture.ledger";
const SAMPLE_EVERY_MS = 5000;
const EMIT_EVERY_MS = 10_000;

export interface LedgerLoopOptions {
  readonly ledger: Pick<Ledger, "sample" | "rows">;
  readonly sensor: () => Name | null;
  readonly emit: (type: string, data: unknown) => Promise<unknown>;
  readonly log: Log;
  readonly sampleEveryMs?: number;
  readonly emitEveryMs?: number;
}

export function startLedgerLoop(options: LedgerLoopOptions): AsyncDisposable {
  const stop = new AbortController();
  const done = Promise.all([sampling(options, stop.signal), emitting(options, stop.signal)]);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

async function sampling(options: LedgerLoopOptions, signal: AbortSignal): Promise<void> {
  let failing = false;
  while (!signal.aborted) {
    try {
      await options.ledger.sample();
      failing = false;
    } catch (error) {
      if (!failing) options.log.warn("the taps cannot be read", describeError(error));
      failing = true;
    }
    await pause(options.sampleEveryMs ?? SAMPLE_EVERY_MS, signal);
  }
}

async function emitting(options: LedgerLoopOptions, signal: AbortSignal): Promise<void> {
  const emitted = new Map<Name, string>();
  while (!signal.aborted) {
    await pause(options.emitEveryMs ?? EMIT_EVERY_MS, signal);
    const sensor = options.sensor();
    if (sensor === null || signal.aborted) continue;
    for (const row of options.ledger.rows) {
      const text = JSON.stringify(row);
      if (emitted.get(row.instrument) === text) continue;
      if (await emitRow(options, sensor, row)) emitted.set(row.instrument, text);
      else break;
    }
  }
}

async function emitRow(options: LedgerLoopOptions, sensor: Name, row: LedgerRow): Promise<boolean> {
  try {
    await options.emit(LEDGER_EVENT, { sensor, ...row });
    return true;
  } catch (error) {
    options.log.info("the loss ledger was not emitted", describeError(error));
    return false;
  }
}
