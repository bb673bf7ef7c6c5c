/** Hello: says so at an interval. The example to begin a new instrument from. */
import type { InstrumentDefinition } from "@bulkhead/sdk";
import { Settings } from "./settings.ts";

export const agent: InstrumentDefinition<Settings> = {
  config: Settings,
  start(context) {
    let timer: NodeJS.Timeout | undefined;
    let count = 0;
    return {
      apply({ greeting, intervalMs }) {
        clearInterval(timer);
        const greet = (): void => void context.emit("hello.greeting", { greeting, count: ++count });
        timer = setInterval(greet, intervalMs);
        greet();
        context.health.ready();
      },
      stop() {
        clearInterval(timer);
      },
    };
  },
};
