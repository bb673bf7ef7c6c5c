/**
 * Passive DNS: counts the resource records in the DNS events that it is granted, and answers
 * look-ups.
 *
 * An event is acknowledged after its transaction; delivered again, it is not counted again.
 */
import { join } from "node:path";
import { runInstrument, type ConsumedEvent } from "@bulkhead/sdk";
import { passiveDnsApi } from "./api.ts";
import { EveDns, parseAnswers } from "./dns-record.ts";
import { Settings } from "./settings.ts";
import { Store, type SeenEvent } from "./store.ts";

const PURGE_BATCH = 5_000;

runInstrument({
  config: Settings,
  start(context) {
    const store = new Store(join(context.environment.dataDir, "db", "passive-dns.sqlite"), {
      onFull: (removed) => context.log.warn(`the volume is full: the ${removed} oldest records made room`),
    });
    context.consume({
      type: "suricata.dns",
      schema: EveDns,
      handle: async (events) => void store.add(events.map(seenEvent)),
    });
    context.serveUi(passiveDnsApi(store));
    context.retain({
      purge: (before) => purge(store, Math.floor(before.getTime() / 1000)),
      oldest: () => {
        const oldestS = store.oldestS();
        return oldestS === null ? null : new Date(oldestS * 1000);
      },
    });
    return {
      apply: () => context.health.ready(),
      stop: () => store[Symbol.dispose](),
    };
  },
});

function seenEvent(event: ConsumedEvent<EveDns>): SeenEvent {
  return {
    id: event.id,
    timeS: Math.floor(Date.parse(event.time) / 1000),
    records: parseAnswers(event.data),
  };
}

/** In steps, so that events go on being counted meanwhile. */
async function purge(store: Store, beforeS: number): Promise<number> {
  for (let removed = 0; ;) {
    const step = store.purge(beforeS, PURGE_BATCH);
    removed += step;
    if (step < PURGE_BATCH) return removed;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
