/**
 * Holder: keeps the host as the accepted site says, on its own timer and whenever something
 * happens, whether sensord lives or not; and applies a new site, whole or not at all.
 *
 * One thing at a time: passes, applies and orders run in a queue.
 */
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
import { pidsOf } from "./found-state.ts";
import type { HolderParts } from "./ports.ts";
import { NO_NETWORK, NOTHING } from "./nothing-desired.ts";
import { problemOf } from "./problems.ts";
import { noteApply } from "./note-apply.ts";
import { Passes, RETRY_MS } from "./passes.ts";
import { TaskQueue } from "./task-queue.ts";
import { StateFeed } from "./state-feed.ts";

/** A hint is followed so soon; many of them are one look. */
const HINT_MS = 300;
export class Holder {
  readonly #parts: HolderParts;
  readonly #queue = new TaskQueue();
  readonly feed = new StateFeed();
  readonly #ends: EndWatch;
  readonly #passes: Passes;
  #timer: NodeJS.Timeout | null = null;
  /** When the timer is due, by the monotonic clock. */
  #dueMs = 0;
  #held = true;

  constructor(parts: HolderParts) {
    this.#parts = parts;
    this.#ends = new EndWatch(parts);
    this.#passes = new Passes(parts, this.feed, this.#ends);
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
      const outcome = await applySite(staged, this.#parts, (step, context) =>
        this.#passes.take(step, context),
      );
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
      await this.#passes.mustDo(step, { siteDir: site.dir });
      await this.#parts.state.setStopped(instrument, false);
      await this.#parts.state.forgetEnds(instrument);
    });
  }

  /** Stops all instruments and gives the span devices back; data stays. Nothing is held until the next start. */
  down(): Promise<void> {
    return this.#queue.run(async () => {
      this.#letGo();
      const checked = await this.#passes.checked();
      const desired = checked?.desired ?? NOTHING;
      await this.#passes.bring(
        desired,
        desired.instruments.map((i) => i.name),
      );
      await this.#passes.bring(
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
      await this.#passes.bring(NOTHING, []);
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
    return this.#passes.desired.instruments.flatMap(({ name, spec }) => {
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
      delayMs = await this.#passes.run();
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

  /**
   * Destroys an instrument's data, its keys first; the site then makes it anew, empty, if it still has it.
   * @throws WardenError `unknown-instrument`, `step-failed`
   */
  destroy(instrument: Name): Promise<void> {
    return this.#queue.run(async () => {
      this.#requireHolding();
      const found = await this.#parts.host.observe((await this.#passes.checked())?.desired ?? NOTHING);
      await destroyData(instrument, found, this.#parts, (step) =>
        this.#passes.mustDo(step, { siteDir: "/nonexistent" }),
      );
      this.#ends.stopped(instrument);
      await this.#pass();
    });
  }

  /** Recorded by the one who asks for it, before: see api/ordered.ts. */
  #order(instrument: Name, act: (site: StoredSite) => Promise<void>): Promise<void> {
    return this.#queue.run(async () => {
      this.#requireHolding();
      const site = await this.#parts.sites.accepted();
      const checked = await this.#passes.checked();
      if (site === null || checked?.instruments.some((i) => i.name === instrument) !== true) {
        throw new WardenError("unknown-instrument", `no instrument ${instrument} in the site`);
      }
      await act(site);
      this.#ends.stopped(instrument);
      await this.#pass();
    });
  }

  #requireHolding(): void {
    if (!this.#held)
      throw new WardenError("sensor-down", "the sensor was taken down; start it again with `bulkhead up`");
  }

  /** Counters of the accepted site's taps, read now; the taps and pids are those of the last look. */
  counters(): Promise<readonly TapCounters[]> {
    return this.#parts.host.counters(this.#passes.desired.taps, pidsOf(this.feed.current.observed));
  }

  /** What passed the accepted site's ports and what was refused, read now. */
  networkReport(): Promise<readonly PortReport[]> {
    return this.#parts.host.networkReport(this.#passes.desired.ports);
  }

  get state(): WardenState {
    return this.feed.current;
  }
}
