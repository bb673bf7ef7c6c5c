/**
 * Passive DNS: counts the resource records in the DNS events that it is granted, answers look-ups,
 * and tells of records that fall under a watch list.
 *
 * An event is acknowledged after its transaction; delivered again, it is not counted again.
 */
import { join } from "node:path";
import { runInstrument, type ConsumedEvent } from "@bulkhead/sdk";
import { passiveDnsApi } from "./api.ts";
import { EveDns, parseAnswers } from "./dns-record.ts";
import { Settings } from "./settings.ts";
import { Watch } from "./watch/watch.ts";
import { Store, type SeenEvent } from "./store.ts";

const PURGE_BATCH = 5_000;
const WATCH_LIST_TYPE = "watch-list";
const SIGHTING_TYPE = "passive-dns.sighting";

runInstrument({
  config: Settings,
  start(context) {
    const store = new Store(join(context.environment.dataDir, "db", "passive-dns.sqlite"), {
      onFull: (removed) => context.log.warn(`the volume is full: the ${removed} oldest records made room`),
    });
    const watch = new Watch();
    context.consume({
      type: "suricata.dns",
      schema: EveDns,
      handle: async (events) => {
        const seen = events.map(seenEvent);
        store.add(seen);
        for (const { time, records } of seen) {
          for (const sighting of watch.sightings(records, time.toISOString())) {
            await context.emit(SIGHTING_TYPE, sighting, time);
          }
        }
      },
    });
    context.receive({
      type: WATCH_LIST_TYPE,
      handle: async (resource) => {
        const entries = await watch.take(resource);
        context.log.info(`the watch list ${resource.from}/${resource.name} has ${entries} entries`);
      },
    });
    context.serveUi(passiveDnsApi(store, watch));
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

function seenEvent({ id, time, data }: ConsumedEvent<EveDns>): SeenEvent & { readonly time: Date } {
  const at = new Date(time);
  return { id, time: at, timeS: Math.floor(at.getTime() / 1000), records: parseAnswers(data) };
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
