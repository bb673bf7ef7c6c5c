/**
 * Capture engine: reads the counters of its network namespace and tells them.
 *
 * It moves no packet and holds no capability: the platform programs the namespace from outside,
 * and copying goes on when this process does not.
 */
import { readFile } from "node:fs/promises";
import { errorText, runInstrument, type InstrumentContext } from "@bulkhead/sdk";
import { parseInterfaceCounters, renderRates, type InterfaceCounters } from "./interface-counters.ts";
import { Settings } from "./settings.ts";

runInstrument({
  config: Settings,
  start(context) {
    const reader = new CounterReader(context);
    let timer: NodeJS.Timeout | undefined;
    return {
      async apply({ intervalMs }) {
        clearInterval(timer);
        timer = setInterval(() => void reader.tell(), intervalMs);
        await reader.tell();
      },
      stop() {
        clearInterval(timer);
      },
    };
  },
});

class CounterReader {
  readonly #context: InstrumentContext;
  #former: readonly InterfaceCounters[] = [];
  #formerAtMs = 0;

  constructor(context: InstrumentContext) {
    this.#context = context;
  }

  /** Emits `capture.stats` and says in the health report what comes in. */
  async tell(): Promise<void> {
    const { health, log } = this.#context;
    try {
      const interfaces = parseInterfaceCounters(await readFile("/proc/net/dev", "utf8"));
      const atMs = performance.now();
      if (interfaces.length === 0) health.degraded("there is no interface in this namespace");
      else health.ready(renderRates(this.#former, interfaces, atMs - this.#formerAtMs));
      this.#former = interfaces;
      this.#formerAtMs = atMs;
      await this.#context.emit("capture.stats", { interfaces });
    } catch (error) {
      log.error(`counters cannot be read: ${errorText(error)}`);
      health.degraded("counters cannot be read");
    }
  }
}
