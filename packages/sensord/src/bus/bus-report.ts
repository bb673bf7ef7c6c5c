/**
 * Bus report: puts together what is granted, what was counted and where consumers stand.
 *
 * A broker that does not answer makes figures unknown, not zero. It changes nothing.
 */
import type { BusConsumer, BusPlan } from "@bulkhead/core";
import type { BusReport, Name } from "@bulkhead/schema";
import type { ConsumerInfo, JetStreamManager } from "@nats-io/jetstream";
import type { InstrumentCounts } from "./gate-counts.ts";
import type { MessageBook } from "./message-book.ts";
import type { MessageJournal } from "./message-journal.ts";

export interface BusReportParts {
  readonly plan: BusPlan | null;
  readonly state: Pick<BusReport, "broker" | "problem">;
  readonly counts: (instrument: Name) => InstrumentCounts;
  readonly journal: Pick<MessageJournal, "counts">;
  readonly book: Pick<MessageBook, "pendingOn">;
  /** Null where the broker is not reached. */
  readonly manager: JetStreamManager | null;
}

export async function reportBus(parts: BusReportParts): Promise<BusReport> {
  const { plan, state, counts, journal, book, manager } = parts;
  const consumers = plan?.consumers ?? [];
  return {
    time: new Date().toISOString(),
    ...state,
    ignored: [...(plan?.ignored ?? [])],
    events: await Promise.all(consumers.map((consumer) => eventsOf(consumer, manager))),
    messages: (plan?.messages ?? []).map((route) => ({
      ...route,
      pending: book.pendingOn(route),
      outcomes: journal.counts(route),
    })),
    instruments: (plan?.instruments ?? []).map(({ name }) => {
      const { published, refusedBy, refusals, ...rest } = counts(name);
      return {
        name,
        ...rest,
        published: { ...published },
        refusedBy: { ...refusedBy },
        refusals: refusals.map((refusal) => ({ ...refusal })),
      };
    }),
  };
}

async function eventsOf(
  { from, type, to, stream, name }: BusConsumer,
  manager: JetStreamManager | null,
): Promise<BusReport["events"][number]> {
  const info = manager === null ? null : await infoOf(manager, stream, name);
  return {
    from,
    type,
    to,
    lag: info?.num_pending ?? null,
    unacknowledged: info?.num_ack_pending ?? null,
    acknowledgedThrough: info?.ack_floor.stream_seq ?? null,
    waitingPulls: info?.num_waiting ?? null,
  };
}

/** Null where the broker does not say: the consumer is being made, or the connection has just gone. */
async function infoOf(manager: JetStreamManager, stream: string, name: string): Promise<ConsumerInfo | null> {
  try {
    return await manager.consumers.info(stream, name);
  } catch {
    return null;
  }
}
