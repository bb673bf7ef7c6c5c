/**
 * Keeper process: a real instrument of the SDK that keeps records in memory, each a time; told over
 * IPC what to keep, what to emit, and what to say is the oldest whatever it keeps.
 */
import { startInstrument } from "@bulkhead/sdk";
import * as z from "zod";
import type { KeeperOrder, KeeperTold } from "./keeper.ts";

const [name = "", directory = ""] = process.argv.slice(2);
const tell = (told: KeeperTold): void => void process.send?.(told);

const handle = await startInstrument(
  {
    config: z.record(z.string(), z.unknown()),
    start: (context) => {
      let records: readonly number[] = [];
      let lie: number | null = null;
      context.retain({
        purge: (before) => {
          const kept = records.filter((atMs) => atMs >= before.getTime());
          const removed = records.length - kept.length;
          // A liar says that it did as it was told.
          if (lie === null) records = kept;
          tell({ records });
          return removed;
        },
        oldest: () => {
          if (lie !== null) return new Date(lie);
          return records.length === 0 ? null : new Date(Math.min(...records));
        },
      });
      context.health.ready();
      process.on("message", (message) => {
        const order = message as KeeperOrder; // the test's own
        if ("keep" in order) {
          records = order.keep;
          tell({ records });
        }
        if ("lie" in order) lie = order.lie;
        if ("emit" in order) void context.emit("keeper.note", { note: order.emit });
        if ("log" in order) context.log.warn(order.log);
      });
      return {};
    },
  },
  () => ({
    instrument: name,
    busSocket: `${directory}/bus.sock`,
    uiSocket: `${directory}/ui.sock`,
    dataDir: "/nowhere",
    inboxDir: "/nowhere",
    resourcesDir: "/nowhere",
  }),
);
tell({ records: [] });
process.once("SIGTERM", () => void handle.stop().then(() => process.exit(0)));
process.once("disconnect", () => process.exit(0));
