/** Looking at a running sensor and giving it orders: status, taps, explain, logs, start, stop, restart. */
import { API_ROUTES, Explanation, LogLine, SensorStatus } from "@bulkhead/schema";
import type { Command } from "commander";
import * as z from "zod";
import { command, contextOf } from "../command.ts";
import { tone } from "../output.ts";
import { renderExplanation } from "../render/explanation.ts";
import { renderStatus, renderTaps } from "../render/status.ts";

const Done = z.looseObject({});

export function sensorCommands(): readonly Command[] {
  return [
    command("status", "show instruments, taps and what is not as the site says", [
      "sudo bulkhead status",
      "sudo bulkhead status --json | jq .instruments",
    ]).action(async (options) => {
      const { api, output } = contextOf(options);
      const status = await api.get(API_ROUTES.status.path, SensorStatus);
      output.result(status, () => renderStatus(status));
    }),
    command("taps", "show what became of every frame of each tap", ["sudo bulkhead taps"]).action(
      async (options) => {
        const { api, output } = contextOf(options);
        const { taps } = await api.get(API_ROUTES.status.path, SensorStatus);
        output.result(taps, () => (taps.length === 0 ? "No taps in the site." : renderTaps(taps)));
      },
    ),
    command(
      "explain <instrument>",
      "say what an instrument can see, reach, keep and use, and which line says so",
      ["sudo bulkhead explain ids"],
    ).action(async (instrument: string, options) => {
      const { api, output } = contextOf(options);
      const explanation = await api.get(pathOf("explain", instrument), Explanation);
      output.result(explanation, () => renderExplanation(explanation));
    }),
    command("logs <instrument>", "show an instrument's last log lines", [
      "sudo bulkhead logs ids",
      "sudo bulkhead logs ids --limit 20",
    ])
      .option("--limit <n>", "how many lines", "100")
      .action(async (instrument: string, options) => {
        const { api, output, signal } = contextOf(options);
        const lines = api.lines(pathOf("logs", instrument), LogLine, { limit: options.limit }, signal);
        for await (const line of lines) {
          output.record(line, () => `${tone("dim", line.time)} ${line.level.padEnd(5)} ${line.message}`);
        }
      }),
    order("start", "start an instrument that was stopped by hand"),
    order("stop", "stop an instrument; it stays stopped until started, its data stays"),
    order("restart", "stop and start an instrument"),
  ];
}

function order(verb: "start" | "stop" | "restart", summary: string): Command {
  return command(`${verb} <instrument>`, summary, [`sudo bulkhead ${verb} ids`]).action(
    async (instrument: string, options) => {
      const { api, output } = contextOf(options);
      await api.post(pathOf(verb, instrument), Done);
      output.result({ ok: true }, () => `${instrument}: ${verb} done`);
    },
  );
}

type InstrumentRoute = "explain" | "logs" | "start" | "stop" | "restart";

function pathOf(route: InstrumentRoute, instrument: string): string {
  return API_ROUTES[route].path.replace("{instrument}", encodeURIComponent(instrument));
}
