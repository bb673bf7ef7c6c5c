/** bus and messages: who may say what to whom, what is said and refused, and each message as it ends. */
import { setTimeout as delay } from "node:timers/promises";
import { API_ROUTES, BusReport, MessageRecord } from "@bulkhead/schema";
import type { Command } from "commander";
import { command, contextOf } from "../command.ts";
import { busRates } from "../render/bus-rates.ts";
import { renderBus, renderMessage } from "../render/bus.ts";

/** Between the two looks that rates are made of. */
const RATE_MS = 1000;

export function busCommands(): readonly Command[] {
  return [
    command("bus", "show who may say what to whom, rates, lags and refusals", [
      "sudo bulkhead bus",
      "sudo bulkhead bus --json | jq '.events[] | select(.lag > 1000)'",
    ]).action(async (options) => {
      const { api, output } = contextOf(options);
      const first = await api.get(API_ROUTES.bus.path, BusReport);
      await delay(RATE_MS);
      const report = await api.get(API_ROUTES.bus.path, BusReport);
      const rates = busRates(first, report);
      output.result({ ...report, rates }, () => renderBus(report, rates));
    }),
    command("messages", "show messages between instruments: metadata, never content", [
      "sudo bulkhead messages --follow",
      "sudo bulkhead messages --instrument ids --json",
    ])
      .option("--follow", "go on until Ctrl-C")
      .option("--instrument <name>", "only from or to this instrument")
      .option("--limit <n>", "at most so many of the past, the newest", "100")
      .action(async (options) => {
        const { api, output, signal } = contextOf(options);
        const query = {
          instrument: options.instrument,
          limit: options.limit,
          follow: options.follow === true ? "true" : undefined,
        };
        for await (const message of api.lines(API_ROUTES.messages.path, MessageRecord, query, signal)) {
          output.record(message, () => renderMessage(message));
        }
      }),
  ];
}
