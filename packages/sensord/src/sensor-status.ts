/**
 * Sensor status: one answer to "how is this sensor", from what warden found, what the instruments
 * report and said to their configuration, the loss ledger and the state of the processes. Pure.
 */
import type {
  HealthReport,
  InstrumentStatus,
  LedgerRow,
  LogLine,
  Name,
  SensorStatus,
  WardenState,
} from "@bulkhead/schema";
import { type ResolvedInstrument, waitingOf } from "@bulkhead/core";
import type { ConfigState } from "./config-delivery.ts";
import { type InstrumentFacts, judgeInstrument } from "./instrument-state.ts";
import { NO_FIGURES } from "./ledger-figures.ts";
import type { SiteView } from "./site-view.ts";

/** warden's code for an instrument whose volumes have no key yet. */
const LOCKED_CODE = "volume-locked";

export interface HeardInstrument {
  readonly config: ConfigState;
  readonly report: HealthReport | null;
  /** Age of the report, or how long the container has been running where there is none. */
  readonly silentMs: number;
  /** What the bus refused or set aside of this instrument. */
  readonly refused: number;
  readonly quarantined: number;
  /** What it logged last, where it ended by itself. */
  readonly lastLines: readonly LogLine[];
}

export type ProcessStatus = SensorStatus["processes"][number];

export interface StatusInput {
  readonly view: SiteView | null;
  /** The last that was heard; null before the first. */
  readonly warden: WardenState | null;
  readonly heard: (instrument: Name) => HeardInstrument;
  readonly ledger: readonly LedgerRow[];
  readonly processes: readonly ProcessStatus[];
  /** What sensord itself could not do. */
  readonly problems: SensorStatus["problems"];
}

export function sensorStatus(input: StatusInput): SensorStatus {
  const { view, warden, processes } = input;
  const instruments = view === null ? [] : view.checked.instruments.map((i) => statusOf(i, view, input));
  const problems = [...vaultProblems(warden), ...(warden?.problems ?? []), ...input.problems];
  return {
    sensor: view?.sensor ?? null,
    siteVersion: view?.version ?? warden?.site?.version ?? null,
    ok:
      view !== null &&
      problems.length === 0 &&
      processes.every((process) => process.state === "up") &&
      instruments.every(({ state }) => state === "running" || state === "stopped"),
    instruments,
    taps: view === null ? [] : tapsOf(view, input),
    problems,
    pending: [...(warden?.pending ?? []), ...waiting(view, warden)],
    absent: [...(warden?.observed.absent ?? [])],
    processes: [...processes],
  };
}

/** What is wrong with the vault, and what would help. */
function vaultProblems(warden: WardenState | null): SensorStatus["problems"] {
  if (warden === null || warden.vault.state === "unlocked") return [];
  const { state, problem } = warden.vault;
  if (state === "absent") {
    const message = "this sensor has no vault; `sudo bulkhead setup` makes one";
    return [{ target: "vault", code: "vault-absent", message }];
  }
  const why = problem?.message ?? "it is being opened";
  return [{ target: "vault", code: "vault-locked", message: `${why}; sudo bulkhead vault unlock` }];
}

function statusOf(instrument: ResolvedInstrument, view: SiteView, input: StatusInput): InstrumentStatus {
  const { name, package: pack } = instrument;
  const heard = input.heard(name);
  const { state, detail } = judgeInstrument(factsOf(instrument, heard, view, input.warden));
  return {
    sensor: view.sensor,
    name,
    package: pack.manifest.name,
    version: pack.manifest.version,
    state,
    detail,
    restarts: heard.report?.restarts ?? 0,
    crash: crashOf(name, heard, input.warden),
    config: { ...heard.config, faults: [...heard.config.faults] },
    events: {
      acknowledged: heard.report?.events.acknowledged ?? 0,
      refused: heard.refused,
      quarantined: heard.quarantined,
    },
  };
}

function crashOf(
  name: Name,
  { lastLines }: HeardInstrument,
  warden: WardenState | null,
): InstrumentStatus["crash"] {
  const crash = warden?.crashes.find(({ instrument }) => instrument === name);
  if (crash === undefined) return null;
  const { count, reason, nextStart } = crash;
  return { count, reason, nextStart, lastLines: [...lastLines] };
}

function factsOf(
  { name, site }: ResolvedInstrument,
  heard: HeardInstrument,
  view: SiteView,
  warden: WardenState | null,
): InstrumentFacts {
  // A step's target is the instrument, or a part of it: `ids/rules`.
  const own = (warden?.problems ?? []).filter(
    ({ target }) => target === name || target.startsWith(`${name}/`),
  );
  return {
    enabled: site.enabled,
    stoppedByHand: warden?.stopped.includes(name) ?? false,
    observed: warden?.observed.instruments.find((i) => i.name === name) ?? null,
    crash: warden?.crashes.find((crash) => crash.instrument === name) ?? null,
    problems: own.map((problem) => problem.message),
    locked: own.some((problem) => problem.code === LOCKED_CODE),
    pending: (warden?.pending ?? []).filter((p) => p.instrument === name).map((p) => p.what),
    wire: site.tap === undefined ? null : wireOf(name, warden),
    waits: waiting(view, warden)
      .filter((w) => w.instrument === name)
      .map(({ what }) => what),
    unguarded: unguardedSpan(name, view, warden),
    config: heard.config,
    report: heard.report,
    silentMs: heard.silentMs,
  };
}

/** The device of this engine's span where it is without its guards. */
function unguardedSpan(engine: Name, view: SiteView, warden: WardenState | null): string | null {
  const device = view.checked.desired.spans.find((span) => span.engine === engine)?.device;
  const found = warden?.observed.spans.find((span) => span.engine === engine && span.device === device);
  return found?.state === "unguarded" ? found.device : null;
}

/** An absent device or address is a state to wait in, not a fault; what does not run waits for nothing. */
function waiting(view: SiteView | null, warden: WardenState | null): SensorStatus["pending"] {
  if (view === null || warden === null) return [];
  const { site, desired } = view.checked;
  return waitingOf(desired, warden.observed).filter(
    ({ instrument }) =>
      site.instruments[instrument]?.enabled === true && !warden.stopped.includes(instrument),
  );
}

function wireOf(instrument: Name, warden: WardenState | null): "connected" | "broken" | "none" {
  return warden?.observed.taps.find((tap) => tap.instrument === instrument)?.wire ?? "none";
}

function tapsOf(view: SiteView, { ledger, warden }: StatusInput): SensorStatus["taps"] {
  return view.checked.desired.taps.map(({ instrument, engine, filter }) => {
    const row = ledger.find((r) => r.instrument === instrument);
    const none = { instrument, ...NO_FIGURES, measured: [], reported: [] };
    return { ...(row ?? none), engine, sensor: view.sensor, filter, wire: wireOf(instrument, warden) };
  });
}
