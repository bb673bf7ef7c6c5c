/**
 * Running sensor: the bench's installation with its site in force and a span to send frames to.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { API_ROUTES, SensorStatus } from "@bulkhead/schema";
import { makeNamespace, runCommand } from "@bulkhead/testkit";
import { renderBenchSite } from "./bench-site.ts";
import type { Installation } from "./installation.ts";
import { PORT, SPAN_MTU } from "./lane.ts";
import type { ProbePort } from "./probe-sender.ts";

export const SPAN_DEVICE = "bhbench0";
const READY_TIMEOUT_MS = 180_000;
const POLL_MS = 50;

export interface Span extends AsyncDisposable {
  readonly port: ProbePort;
}

/** A span device on the host, whose other end is in a namespace of the bench. */
export async function makeSpan(): Promise<Span> {
  await using undo = new AsyncDisposableStack();
  const network = undo.use(await makeNamespace());
  // Left by a bench that was killed.
  const { stdout } = await runCommand("ip", ["-o", "link", "show"]);
  if (stdout.includes(` ${SPAN_DEVICE}@`)) await runCommand("ip", ["link", "del", "dev", SPAN_DEVICE]);
  const far = ["peer", "name", PORT, "mtu", String(SPAN_MTU), "netns", network.name];
  await runCommand("ip", ["link", "add", "name", SPAN_DEVICE, "type", "veth", ...far]);
  undo.defer(async () => void (await network.ip("link", "del", "dev", PORT)));
  await network.run("ethtool", ["-K", PORT, "tso", "off", "gso", "off", "tx", "off"]);
  await network.ip("link", "set", "dev", PORT, "up");
  const owned = undo.move();
  return {
    port: { namespace: network.name, device: PORT },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Puts the bench's site in force and waits until all of it runs. */
export async function applyBenchSite(
  installation: Installation,
  instruments: readonly string[],
  second: boolean,
): Promise<void> {
  await installation.apply(renderBenchSite(SPAN_DEVICE, second));
  await untilRunning(installation, instruments);
}

/**
 * Waits until these run, each tap of them is connected, and each configuration was taken.
 * @throws Error saying what does not, after three minutes
 */
export async function untilRunning(
  { api }: Installation,
  instruments: readonly string[],
): Promise<SensorStatus> {
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const status = await api.get(API_ROUTES.status.path, SensorStatus);
    const waiting = instruments.filter((name) => !isRunning(status, name));
    if (waiting.length === 0) return status;
    if (performance.now() > deadlineMs) {
      const words = status.instruments.map(({ name, state, detail }) => `${name} ${state} ${detail}`);
      throw new Error(`do not run: ${waiting.join(", ")}; ${words.join("; ")}`);
    }
    await sleep(POLL_MS);
  }
}

function isRunning(status: SensorStatus, name: string): boolean {
  const instrument = status.instruments.find((each) => each.name === name);
  const tap = status.taps.find((each) => each.instrument === name);
  return instrument?.state === "running" && (tap === undefined || tap.wire === "connected");
}
