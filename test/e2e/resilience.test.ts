import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SensorStatus } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { wireDeviceName } from "../../packages/warden/src/datapath/naming.ts";
import { inNamed, inNetworkOf, packetsOf, run } from "./inside.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE, ENGINE_LINE, idsLine, SPAN_KEY } from "./stand-site.ts";

/** How often the status is looked at while something is broken. */
const LOOK_MS = 20;

interface Breakage {
  readonly what: string;
  /** Breaks it; returns once it is broken. */
  readonly act: (stand: SensorStand) => Promise<void>;
  /** Whether what was broken is whole again, as seen from outside and not by the status. */
  readonly healed: (stand: SensorStand) => Promise<boolean>;
  /** What the sensor's status, or its log of what was done, must have said meanwhile. */
  readonly said: (said: Said) => boolean;
}

interface Said {
  /** Every different answer of the status, in order; a string where it did not answer. */
  readonly statuses: readonly (SensorStatus | string)[];
  /** `KIND SUBJECT WHY` of each audit entry. */
  readonly audit: readonly string[];
}

test("whatever is killed or taken away comes back, and nothing acknowledged is lost", async (t) => {
  await using stand = await makeSensorStand("e2e-resil");
  await stand.apply(stand.siteText([ENGINE_LINE, idsLine(), "  hello: { package: hello }"].join("\n")));
  await stand.settled();
  await stand.alertFlows();
  for (const breakage of breakages) {
    await t.test(breakage.what, () => breakAndHeal(stand, breakage));
  }
});

async function breakAndHeal(stand: SensorStand, { act, healed, said }: Breakage): Promise<void> {
  await stand.settled();
  await stand.alertFlows();
  const before = await stand.events("suricata.alert", "ids");
  const entries = (await stand.auditLog()).length;
  await using watch = watchStatus(stand);
  await act(stand);
  await eventually("it is whole again", async () => ((await healed(stand).catch(() => false)) ? true : null));
  await stand.settled();
  await stand.alertFlows();
  const { statuses } = watch;
  const audit = (await stand.auditLog()).slice(entries);
  const lines = audit.map(({ kind, subject, detail }) => `${kind} ${subject} ${JSON.stringify(detail)}`);
  assert.ok(
    said({ statuses, audit: lines }),
    `it was said: ${JSON.stringify({ statuses: statuses.map(brief), lines })}`,
  );

  const after = await stand.events("suricata.alert", "ids");
  assert.deepEqual(
    after.slice(0, before.length),
    before,
    "every event that was there is there, in its place",
  );
  assert.ok(after.length > before.length);
}

/** Follows the status until it is disposed of; keeps each answer that differs from the one before. */
function watchStatus(stand: SensorStand): AsyncDisposable & Pick<Said, "statuses"> {
  const ending = new AbortController();
  const statuses: (SensorStatus | string)[] = [];
  const watching = (async () => {
    while (!ending.signal.aborted) {
      const status = await stand.status().catch((error: unknown) => String(error));
      const last = statuses.at(-1);
      if (last === undefined || brief(status) !== brief(last)) statuses.push(status);
      await sleep(LOOK_MS);
    }
  })();
  return {
    statuses,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await watching;
    },
  };
}

/** What of a status these tests look at. */
function brief(status: SensorStatus | string): string {
  if (typeof status === "string") return status;
  const instruments = status.instruments.map(({ name, state, detail }) => `${name} ${state} ${detail}`);
  const down = status.processes.filter(({ state }) => state === "down").map(({ name }) => `${name} down`);
  const wires = status.taps.map(({ instrument, wire }) => `wire of ${instrument} ${wire}`);
  const problems = status.problems.map(({ target, message }) => `${target}: ${message}`);
  return [...down, ...instruments, ...wires, ...problems, status.ok ? "ok" : "not ok"].join("; ");
}

function statusSaid(what: RegExp): Breakage["said"] {
  return ({ statuses }) =>
    statuses.some((status) => what.test(brief(status)) && !brief(status).endsWith("; ok"));
}

function auditSaid(what: RegExp): Breakage["said"] {
  return ({ audit }) => audit.some((line) => what.test(line));
}

function both(...all: readonly Breakage["said"][]): Breakage["said"] {
  return (said) => all.every((one) => one(said));
}

/** Kills a process and waits until another stands in its place. */
function killed(pidOf: (stand: SensorStand) => Promise<number>): Pick<Breakage, "act" | "healed"> {
  let victim = 0;
  return {
    act: async (stand) => {
      victim = await pidOf(stand);
      process.kill(victim, "SIGKILL");
    },
    healed: async (stand) => (await pidOf(stand)) !== victim,
  };
}

const wireOf = (stand: SensorStand, instrument: string) =>
  wireDeviceName(stand.layout.slug, { engine: ENGINE, instrument });
const inEngine = (stand: SensorStand, ...argv: readonly string[]) =>
  run(inNamed(stand.engineNamespace), argv);

const breakages: readonly Breakage[] = [
  { what: "kill -9 of warden", ...killed((s) => s.processPid("warden")), said: statusSaid(/warden down/) },
  {
    what: "kill -9 of sensord",
    ...killed((s) => s.processPid("sensord")),
    said: statusSaid(/does not answer/),
  },
  {
    what: "kill -9 of the broker",
    ...killed((s) => s.processPid("broker")),
    said: statusSaid(/broker down/),
  },
  {
    what: "kill -9 of Suricata",
    ...killed((s) => s.pidInside("ids", /^\/usr\/bin\/suricata -c/)),
    said: statusSaid(/ids (degraded Suricata ended by itself: signal SIGKILL|starting)/),
  },
  {
    what: "kill -9 of the IDS's agent",
    ...killed((s) => s.pidInside("ids", /^\/opt\/node\/bin\/node .*\/opt\/instrument\/agent/)),
    said: statusSaid(/ids (degraded ended by itself|starting)/),
  },
  {
    what: "kill -9 of the IDS's container",
    ...killed((s) => s.initPid("ids")),
    said: statusSaid(/ids (degraded ended by itself|starting)/),
  },
  {
    what: "kill -9 of the capture engine's container",
    ...killed((s) => s.initPid(ENGINE)),
    said: statusSaid(/capture (degraded ended by itself|starting)/),
  },
  {
    what: "kill -9 of the hello instrument's container",
    ...killed((s) => s.initPid("hello")),
    said: statusSaid(/hello (degraded ended by itself|starting)/),
  },
  {
    what: "its wire is deleted by hand",
    act: async (s) => void (await inEngine(s, "ip", "link", "del", "dev", wireOf(s, "ids"))),
    healed: async (s) => (await packetsOf(inNetworkOf(await s.initPid("ids")), "mon0")).received >= 0,
    // Its two ends are read one after the other: one that goes in between is broken for that look.
    said: both(statusSaid(/wire of ids (none|broken)/), auditSaid(/^wire\.connect ids/)),
  },
  {
    what: "its filter is deleted by hand",
    act: async (s) =>
      void (await inEngine(s, "tc", "filter", "del", "dev", SPAN_KEY, "ingress", "prio", "100")),
    healed: async (s) =>
      /pref 100 /.test(await inEngine(s, "tc", "filter", "show", "dev", SPAN_KEY, "ingress")),
    said: auditSaid(/^mirror\.set ids/),
  },
  {
    what: "the wire's XDP guard is detached by hand",
    act: async (s) => void (await inEngine(s, "ip", "link", "set", "dev", wireOf(s, "ids"), "xdpdrv", "off")),
    healed: async (s) =>
      /prog\/xdp/.test(await inEngine(s, "ip", "-d", "link", "show", "dev", wireOf(s, "ids"))),
    said: both(
      statusSaid(/ids degraded its tap is broken/),
      auditSaid(/^wire\.connect ids .*its wire is broken/),
    ),
  },
  {
    what: "the span's guard is deleted by hand",
    act: async (s) => void (await inEngine(s, "tc", "filter", "del", "dev", SPAN_KEY, "egress")),
    healed: async (s) =>
      /1,6 0 0 2'/.test(await inEngine(s, "tc", "filter", "show", "dev", SPAN_KEY, "egress")),
    said: auditSaid(/^span\.take .*a guard is missing/),
  },
];
