/**
 * Holder: keeps the host as the accepted site says, on its own timer and whenever something
 * happens, whether sensord lives or not; and applies a new site, whole or not at all.
 *
 * One thing at a time: passes, applies and orders run in a queue. It decides nothing: the core
 * plans, the executors act, and after a failure the host is observed again.
 */
import {
  type CheckedSite,
  checkedSite,
  type Desired,
  type DesiredPort,
  type DesiredTap,
  planSteps,
} from "@bulkhead/core";
import type {
  ApplyOutcome,
  InstrumentSpec,
  Name,
  Step,
  TapCounters,
  WardenState,
  PortReport,
} from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import type { StoredSite } from "../site/site-store.ts";
import { applySite } from "./apply-site.ts";
import { destroyData } from "./destroy-data.ts";
import { EndWatch } from "./end-watch.ts";
import { executeAll, executeStep, type StepFailure } from "./execute.ts";
import { type Found, pidsOf, stateOf } from "./found-state.ts";
import { type HolderParts, SITE_FILE, type StepContext } from "./ports.ts";
import { NO_NETWORK, NOTHING } from "./nothing-desired.ts";
import { lockedProblems, problemOf } from "./problems.ts";
import { noteApply } from "./note-apply.ts";
import { TaskQueue } from "./task-queue.ts";
import { StateFeed } from "./state-feed.ts";

const INTERVAL_MS = 60_000;
/** A hint is followed so soon; many of them are one look. */
const HINT_MS = 300;
/** After a failure it is tried again. */
const RETRY_MS = 5_000;
/** After steps were taken, what they caused is looked at soon. */
const SETTLE_MS = 500;

export class Holder {
  readonly #parts: HolderParts;
  readonly #queue = new TaskQueue();
  readonly feed = new StateFeed();
  readonly #ends: EndWatch;
  #taps: readonly DesiredTap[] = [];
  #ports: readonly DesiredPort[] = [];
  #instruments: Desired["instruments"] = [];
  #timer: NodeJS.Timeout | null = null;
  /** When the timer is due, by the monotonic clock. */
  #dueMs = 0;
  #held = true;

  constructor(parts: HolderParts) {
    this.#parts = parts;
    this.#ends = new EndWatch(parts);
  }

  /** Begins to hold; ends when the signal aborts. */
  start(signal: AbortSignal): void {
    signal.addEventListener("abort", () => this.#letGo());
    this.#parts.host.onHint(() => this.hinted());
    this.wake();
  }

  /** Something may have changed: look soon. */
  hinted(): void {
    if (this.#held) this.#schedule(HINT_MS);
  }

  /** Look now. Calls while a pass waits are one pass. */
  wake(): void {
    if (this.#held) this.#queue.runOnce("pass", () => this.#pass());
  }

  /** Applies what root staged. The former site stays in force unless every step worked. */
  apply(): Promise<ApplyOutcome> {
    return this.#queue.run(async () => {
      this.#requireHolding();
      const { sites, audit } = this.#parts;
      const former = await sites.accepted();
      const staged = await sites.takeStaged();
      const outcome = await applySite(staged, this.#parts, (step, context) => this.#take(step, context));
      await noteApply(audit, former, staged, outcome);
      if (outcome.outcome !== "applied") await sites.discard(staged);
      await this.#pass();
      return outcome;
    });
  }

  /** @throws WardenError `unknown-instrument` */
  setStopped(instrument: Name, stopped: boolean): Promise<void> {
    return this.#order(instrument, async () => {
      await this.#parts.state.setStopped(instrument, stopped);
      if (!stopped) await this.#parts.state.forgetEnds(instrument);
    });
  }

  restart(instrument: Name): Promise<void> {
    return this.#order(instrument, async (site) => {
      const step: Step = { kind: "instrument.stop", target: instrument, why: "restart by hand", instrument };
      await this.#mustDo(step, { siteDir: site.dir });
      await this.#parts.state.setStopped(instrument, false);
      await this.#parts.state.forgetEnds(instrument);
    });
  }

  /** Stops all instruments and gives the span devices back; data stays. Nothing is held until the next start. */
  down(): Promise<void> {
    return this.#queue.run(async () => {
      this.#letGo();
      const checked = await this.#checked();
      const desired = checked?.desired ?? NOTHING;
      await this.#bring(
        desired,
        desired.instruments.map((i) => i.name),
      );
      await this.#bring(
        { ...desired, ...NO_NETWORK },
        desired.instruments.map((i) => i.name),
      );
      await this.#parts.audit.append("sensor.down", "sensor", {});
    });
  }

  /** Removes everything that this installation has on the host, data included. */
  purge(): Promise<void> {
    return this.#queue.run(async () => {
      this.#letGo();
      await this.#bring(NOTHING, []);
      await this.#parts.host.teardown();
    });
  }

  /** An instrument has more than it was given: stopped at once, told, and started again as one that ended by itself. */
  async exceeded(instrument: Name, finding: string): Promise<void> {
    const { host, audit } = this.#parts;
    this.#ends.halted(instrument, `it was stopped: ${finding}`);
    await host.halt(instrument);
    await audit.append("limit.exceeded", instrument, { finding });
    await this.#queue.run(async () => {
      await this.#pass();
      await this.#ends.settleHalt(instrument);
    });
  }

  /** Those of the accepted site that ran at the last look, with what they were made from. */
  running(): readonly { readonly spec: InstrumentSpec; readonly pid: number }[] {
    const pids = pidsOf(this.feed.current.observed);
    return this.#instruments.flatMap(({ name, spec }) => {
      const pid = pids.get(name);
      return pid === undefined ? [] : [{ spec, pid }];
    });
  }

  #letGo(): void {
    this.#held = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  /** One look at the host, and what it takes to bring it to the accepted site. */
  async #pass(): Promise<void> {
    let delayMs = RETRY_MS;
    try {
      delayMs = await this.#holdOnce();
    } catch (error) {
      this.feed.publishProblem(problemOf("host", error));
    }
    this.#schedule(delayMs);
  }

  /** The next pass, no later than in `delayMs`. */
  #schedule(delayMs: number): void {
    if (!this.#held) return;
    const dueMs = performance.now() + delayMs;
    if (this.#timer !== null) {
      if (this.#dueMs <= dueMs) return;
      clearTimeout(this.#timer);
    }
    this.#dueMs = dueMs;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.wake();
    }, delayMs);
  }

  async #holdOnce(): Promise<number> {
    const { host, sites, state, nowMs } = this.#parts;
    const vault = this.#parts.vault();
    const site = await sites.accepted();
    const checked = await this.#checked();
    const desired = checked?.desired ?? NOTHING;
    this.#taps = desired.taps;
    this.#ports = desired.ports;
    this.#instruments = desired.instruments;
    const before = await host.observe(desired);
    await this.#ends.look(before);
    const held = state.crashes(nowMs()).filter((c) => c.nextStartMs > nowMs());
    const steps = planSteps({
      desired,
      observed: before,
      stopped: state.stopped,
      held: held.map((c) => c.instrument),
      locked: vault.state !== "unlocked",
    }).filter((step) => site !== null || step.kind !== "volume.remove");

    const now = { site, checked, lastSteps: steps, vault };
    // What was found is said before it is put right, and what failed before stays said until it is known better.
    if (steps.length > 0)
      this.#publish({
        ...now,
        observed: before,
        problems: this.feed.current.problems.filter(({ target }) => target !== "audit"),
      });
    const failures = await executeAll(
      steps,
      host.executors,
      { siteDir: site?.dir ?? "/nonexistent" },
      (step, failure) => this.#note(step, failure),
    );
    for (const failure of failures) {
      if (failure.step.kind === "instrument.start")
        await state.recordEnd(failure.step.instrument, nowMs(), failure.message);
    }
    const after = steps.length > 0 ? await host.observe(desired) : before;
    this.#ends.seenRunning(after);
    const problems = [
      ...failures.map((f) => ({ target: f.step.target, code: f.code, message: f.message })),
      ...lockedProblems(vault, { desired, observed: after, stopped: state.stopped }),
    ];
    this.#publish({ ...now, observed: after, problems });
    const due = state
      .crashes(nowMs())
      .map((c) => c.nextStartMs - nowMs())
      .filter((ms) => ms > 0);
    if (steps.length > 0 && failures.length === 0) return SETTLE_MS;
    return Math.max(50, Math.min(failures.length > 0 ? RETRY_MS : INTERVAL_MS, ...due));
  }

  /**
   * Destroys an instrument's data, its keys first; the site then makes it anew, empty, if it still has it.
   * @throws WardenError `unknown-instrument`, `step-failed`
   */
  destroy(instrument: Name): Promise<void> {
    return this.#queue.run(async () => {
      this.#requireHolding();
      const found = await this.#parts.host.observe((await this.#checked())?.desired ?? NOTHING);
      await destroyData(instrument, found, this.#parts, (step) =>
        this.#mustDo(step, { siteDir: "/nonexistent" }),
      );
      this.#ends.stopped(instrument);
      await this.#pass();
    });
  }

  #publish(found: Found): void {
    const problems = [...found.problems, ...this.#parts.audit.problems()];
    this.feed.publish(stateOf({ ...found, problems }, this.#parts.state, this.#parts.nowMs()));
  }

  /** The accepted site as the core reads it; null before the first apply. */
  async #checked(): Promise<CheckedSite | null> {
    const { sites, accepted, readCatalogue } = this.#parts;
    const site = await sites.accepted();
    if (site === null) return null;
    const checked = checkedSite({
      text: site.text,
      file: SITE_FILE,
      catalogue: await readCatalogue(),
      accepted: await accepted.read(),
      files: site.files,
    });
    if ("faults" in checked)
      throw new WardenError(
        "site-unreadable",
        checked.faults[0]?.message ?? "the accepted site does not parse",
      );
    return checked;
  }

  /** Steps toward `desired` outside of a pass; throws for the first that fails. */
  async #bring(desired: Desired, stopped: readonly Name[]): Promise<void> {
    const observed = await this.#parts.host.observe(desired);
    for (const step of planSteps({ desired, observed, stopped, held: [] }))
      await this.#mustDo(step, { siteDir: "/nonexistent" });
  }

  /** Recorded by the one who asks for it, before: see api/ordered.ts. */
  #order(instrument: Name, act: (site: StoredSite) => Promise<void>): Promise<void> {
    return this.#queue.run(async () => {
      this.#requireHolding();
      const site = await this.#parts.sites.accepted();
      const checked = await this.#checked();
      if (site === null || checked?.instruments.some((i) => i.name === instrument) !== true) {
        throw new WardenError("unknown-instrument", `no instrument ${instrument} in the site`);
      }
      await act(site);
      this.#ends.stopped(instrument);
      await this.#pass();
    });
  }

  async #mustDo(step: Step, context: StepContext): Promise<void> {
    const failure = await this.#take(step, context);
    if (failure !== null)
      throw new WardenError("step-failed", `${step.kind} ${step.target}: ${failure.message}`, {
        fields: { code: failure.code },
      });
  }

  async #take(step: Step, context: StepContext): Promise<StepFailure | null> {
    const failure = await executeStep(step, this.#parts.host.executors, context);
    await this.#note(step, failure);
    return failure;
  }

  async #note(step: Step, failure: StepFailure | null): Promise<void> {
    if (failure === null || step.kind !== "instrument.start") this.#ends.taken(step);
    const detail =
      failure === null
        ? { why: step.why }
        : { why: step.why, code: failure.code, message: failure.message.slice(0, 500) };
    await this.#parts.audit.append(failure === null ? step.kind : `${step.kind}.failed`, step.target, detail);
  }

  #requireHolding(): void {
    if (!this.#held)
      throw new WardenError("sensor-down", "the sensor was taken down; start it again with `bulkhead up`");
  }

  /** Counters of the accepted site's taps, read now; the taps and pids are those of the last look. */
  counters(): Promise<readonly TapCounters[]> {
    return this.#parts.host.counters(this.#taps, pidsOf(this.feed.current.observed));
  }

  /** What passed the accepted site's ports and what was refused, read now. */
  networkReport(): Promise<readonly PortReport[]> {
    return this.#parts.host.networkReport(this.#ports);
  }

  get state(): WardenState {
    return this.feed.current;
  }
}
