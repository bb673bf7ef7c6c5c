/** Time scenario: how long a person waits: for the demo, for a tap more, for an instrument that is restarted. */
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES } from "@bulkhead/schema";
import * as z from "zod";
import { type Result, resultOf } from "../result.ts";
import { INSTRUMENTS, renderBenchSite, SECOND_TAP } from "./bench-site.ts";
import type { Run } from "./effort.ts";
import type { Installation } from "./installation.ts";
import { applyBenchSite, SPAN_DEVICE, untilRunning } from "./running-sensor.ts";

const DemoResult = z.looseObject({ ok: z.literal(true), readyMs: z.number() });
/** The supervisor waits longer before it starts what it has just started. */
const BETWEEN_ORDERS_MS = 2_000;

/** The whole command twice: from what `cold` says is there, and from a sensor that runs. Leaves the demo running. */
export async function measureDemo(
  run: Run,
  installation: Installation,
  cold: boolean,
): Promise<readonly Result[]> {
  const seconds: number[] = [];
  for (const words of [cold ? "cold" : "first", "warm"]) {
    run.signal.throwIfAborted();
    const beganMs = performance.now();
    DemoResult.parse(await installation.run("demo"));
    seconds.push((performance.now() - beganMs) / 1_000);
    run.say(`${words} demo: ${seconds.at(-1)?.toFixed(1)} s`);
  }
  return [
    resultOf({ id: cold ? "time.demo.cold" : "time.demo.first", unit: "s", samples: seconds.slice(0, 1) }),
    resultOf({ id: "time.demo.warm", unit: "s", samples: seconds.slice(1) }),
  ];
}

/** A sensor with the bench's site in force is given orders; it ends with the site as it was. */
export async function measureOrders(run: Run, installation: Installation): Promise<readonly Result[]> {
  const added: number[] = [];
  const restarted: number[] = [];
  for (let order = 0; order < run.effort.orders; order += 1) {
    run.signal.throwIfAborted();
    added.push(await tookSeconds(() => addTap(installation)));
    await applyBenchSite(installation, INSTRUMENTS, false);
    await sleep(BETWEEN_ORDERS_MS);
    restarted.push(await tookSeconds(() => restart(installation, "ids")));
    await sleep(BETWEEN_ORDERS_MS);
    run.say(`a tap more: ${added.at(-1)?.toFixed(1)} s; a restart: ${restarted.at(-1)?.toFixed(1)} s`);
  }
  return [
    resultOf({ id: "time.add-tap", unit: "s", samples: added }),
    resultOf({ id: "time.restart", unit: "s", samples: restarted }),
  ];
}

/** A second Suricata with a tap: from the order to the moment at which it runs on its connected tap. */
async function addTap(installation: Installation): Promise<void> {
  await installation.apply(renderBenchSite(SPAN_DEVICE, true));
  await untilRunning(installation, [SECOND_TAP]);
}

async function restart(installation: Installation, instrument: string): Promise<void> {
  await installation.api.post(API_ROUTES.restart.path.replace("{instrument}", instrument), z.looseObject({}));
  await untilRunning(installation, [instrument]);
}

async function tookSeconds(work: () => Promise<void>): Promise<number> {
  const beganMs = performance.now();
  await work();
  return (performance.now() - beganMs) / 1_000;
}
