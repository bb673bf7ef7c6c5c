/**
 * Rates of those who must not suffer: a bystander's units of work, frames that the capture path hands to a tap, and
 * answers of sensord's API. One after the other, so that they do not take from each other.
 */
import { readFile } from "node:fs/promises";
import { API_ROUTES, SensorStatus } from "@bulkhead/schema";
import { type PacketTools, sendFrames } from "@bulkhead/testkit";
import type { ApiClient } from "../../../packages/cli/src/api-client.ts";
import type { ProbePort } from "../sensor/probe-sender.ts";
import type { InsideProgram } from "./inside.ts";

export const RATES = ["bystander", "capture", "sensord"] as const;
export type RateId = (typeof RATES)[number];
export const UNITS: Readonly<Record<RateId, string>> = {
  bystander: "units/s",
  capture: "frames/s",
  sensord: "answers/s",
};

export interface RateParts {
  readonly worker: InsideProgram;
  readonly api: ApiClient;
  readonly tools: PacketTools;
  readonly port: ProbePort;
  /** Host pid of the tap instrument's first process. */
  readonly tapPid: number;
  readonly windowMs: number;
}

/** Each a second, over one window. */
export async function measureRates(parts: RateParts): Promise<Readonly<Record<RateId, number>>> {
  return {
    bystander: await bystanderRate(parts),
    capture: await captureRate(parts),
    sensord: await sensordRate(parts),
  };
}

async function bystanderRate({ worker, windowMs }: RateParts): Promise<number> {
  const beganMs = performance.now();
  const units = Number(await worker.ask(String(windowMs)));
  return (units * 1_000) / (performance.now() - beganMs);
}

async function captureRate({ tools, port, tapPid, windowMs }: RateParts): Promise<number> {
  const before = await receivedBy(tapPid);
  const report = await sendFrames({ tools, ...port, size: "imix", seconds: windowMs / 1_000 });
  return ((await receivedBy(tapPid)) - before) / report.seconds;
}

async function sensordRate({ api, windowMs }: RateParts): Promise<number> {
  const beganMs = performance.now();
  let answers = 0;
  for (; performance.now() - beganMs < windowMs; answers += 1) {
    await api.get(API_ROUTES.status.path, SensorStatus);
  }
  return (answers * 1_000) / (performance.now() - beganMs);
}

/** Frames that arrived at the tap, of /proc/net/dev (proc_net(5)). */
async function receivedBy(pid: number): Promise<number> {
  const table = await readFile(`/proc/${pid}/net/dev`, "utf8");
  const received = /^\s*mon0:\s*\d+\s+(?<packets>\d+)/m.exec(table)?.groups?.["packets"];
  if (received === undefined) throw new Error("the tap has no wire");
  return Number(received);
}
