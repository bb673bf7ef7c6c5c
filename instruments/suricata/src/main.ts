/** Suricata: an IDS on a receive-only tap. Its EVE records become events, untouched. */
import { runInstrument } from "@bulkhead/sdk";
import { SuricataSensor } from "./sensor.ts";
import { Settings } from "./settings.ts";

runInstrument({
  config: Settings,
  async start(context) {
    const sensor = new SuricataSensor(context);
    await sensor.open();
    return {
      apply: (settings, command) => sensor.apply(settings, command),
      stop: () => sensor.stop(),
    };
  },
});
