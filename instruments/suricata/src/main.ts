/** Suricata: an IDS on a receive-only tap. Its EVE records become events, untouched. */
import { runInstrument } from "@bulkhead/sdk";
import { takeRuleManager } from "./rule-manager.ts";
import { SuricataSensor } from "./sensor.ts";
import { Settings } from "./settings.ts";

runInstrument({
  config: Settings,
  async start(context) {
    const sensor = new SuricataSensor(context);
    await sensor.open();
    takeRuleManager(context, sensor);
    return {
      apply: (settings, command) => sensor.apply(settings, command),
      stop: () => sensor.stop(),
    };
  },
});
