/**
 * Agent process: a real instrument of the SDK in a process of its own, told over IPC what to emit,
 * log and report, and telling what it was given.
 */
import { sendJson, startInstrument } from "@bulkhead/sdk";
import * as z from "zod";
import type { AgentOrder, AgentTold } from "./agent.ts";

const [name = "", directory = ""] = process.argv.slice(2);
const tell = (told: AgentTold): void => void process.send?.(told);

const handle = await startInstrument(
  {
    config: z.record(z.string(), z.unknown()),
    start: (context) => {
      context.serveUi((request, response) =>
        sendJson(response, 200, {
          path: request.url,
          user: request.headers["bulkhead-user"] ?? null,
          role: request.headers["bulkhead-role"] ?? null,
        }),
      );
      context.health.set({ state: "ready", detail: "" });
      process.on("message", (message) => {
        const order = message as AgentOrder; // the test's own
        if ("emit" in order) void context.emit(order.emit, order.data);
        if ("log" in order) context.log.warn(order.log);
        if ("packets" in order) {
          context.health.set({ packets: order.packets });
          context.health.flush();
        }
      });
      return {
        apply: (config, command) => {
          tell({ given: command });
          return config["level"] === 5
            ? { outcome: "refused", faults: [{ file: "local.rules", line: 7, message: "bad rule" }] }
            : { outcome: "applied" };
        },
      };
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
tell({ up: true });
process.once("SIGTERM", () => void handle.stop().then(() => process.exit(0)));
process.once("disconnect", () => process.exit(0));
