/** sensord's bus in a process of its own, so that a test may kill it: `bus-process.ts JSON`. */
import { Bus, type BusDesired } from "../../../packages/sensord/src/bus/bus.ts";
import { NO_SERVICES } from "../../../packages/sensord/src/bus/instrument-services.ts";
import { SILENT } from "../../../packages/sensord/src/log.ts";

interface Arguments {
  readonly layout: Parameters<typeof Bus.open>[0]["layout"];
  readonly brokerPort: number;
  readonly natsServer: string;
  readonly desired: BusDesired;
}

const { layout, brokerPort, natsServer, desired }: Arguments = JSON.parse(process.argv[2] ?? "");
const bus = await Bus.open({
  layout,
  settings: { brokerPort },
  natsServer,
  log: SILENT,
  services: NO_SERVICES,
  listeners: { hello: () => undefined, health: () => undefined, refused: () => undefined },
});
await bus.applyGrants(desired);
console.log("applied");
process.stdin.resume();
process.stdin.once("end", () => process.exit());
