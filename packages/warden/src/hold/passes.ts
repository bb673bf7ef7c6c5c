/**
 * Passes: one look at the host and what it takes to bring it to the accepted site; and, for orders, single steps.
 *
 * It decides nothing: the core plans, the executors act, and after a failure the host is observed again. Every step is
 * audited, whether it worked or not. Calls are not to run at the same time: the holder's queue sees to that.
 */
import { type CheckedSite, checkedSite, type Desired, planSteps, sliceDueMs } from "@bulkhead/core";
import type { Name, Step } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import type { EndWatch } from "./end-watch.ts";
import { executeAll, executeStep, type StepFailure } from "./execute.ts";
import { type Found, stateOf } from "./found-state.ts";
import { NOTHING } from "./nothing-desired.ts";
import { type HolderParts, SITE_FILE, type StepContext } from "./ports.ts";
import { clockProblems, lockedProblems } from "./problems.ts";
import type { StateFeed } from "./state-feed.ts";

const INTERVAL_MS = 60_000;
/** After a failure it is tried again. */
export const RETRY_MS = 5_000;
/** After steps were taken, what they caused is looked at soon. */
const SETTLE_MS = 500;

export class Passes {
  readonly #parts: HolderParts;
  readonly #feed: StateFeed;
  readonly #ends: EndWatch;
  #desired: Desired = NOTHING;

  constructor(parts: HolderParts, feed: StateFeed, ends: EndWatch) {
    this.#parts = parts;
    this.#feed = feed;
    this.#ends = ends;
  }

  /** What the last pass brought the host to. */
  get desired(): Desired {
    return this.#desired;
  }

  /** One pass. @returns in how many milliseconds the next is due; throws if the host cannot be looked at */
  async run(): Promise<number> {
    const { host, sites, state, nowMs, clock } = this.#parts;
    const vault = this.#parts.vault();
    const site = await sites.accepted();
    const checked = await this.checked();
    const desired = checked?.desired ?? NOTHING;
    this.#desired = desired;
    const before = await host.observe(desired);
    await this.#ends.look(before);
    const held = state.crashes(nowMs()).filter((c) => c.nextStartMs > nowMs());
    const input = {
      desired,
      observed: before,
      stopped: state.stopped,
      held: held.map((c) => c.instrument),
      locked: vault.state !== "unlocked",
      time: clock.span(),
    };
    await clock.keep();
    const steps = planSteps(input).filter((step) => site !== null || step.kind !== "volume.remove");

    const now = { site, checked, lastSteps: steps, vault };
    // What was found is said before it is put right, and what failed before stays said until it is known better.
    if (steps.length > 0)
      this.#publish({
        ...now,
        observed: before,
        problems: this.#feed.current.problems.filter(({ target }) => target !== "audit"),
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
      ...clockProblems(clock.problem(), after),
    ];
    this.#publish({ ...now, observed: after, problems });
    const due = state
      .crashes(nowMs())
      .map((c) => c.nextStartMs - nowMs())
      .filter((ms) => ms > 0);
    if (steps.length > 0 && failures.length === 0) return SETTLE_MS;
    const sliceMs = sliceDueMs({ ...input, observed: after, time: clock.span() });
    if (sliceMs !== null) due.push(sliceMs);
    return Math.max(50, Math.min(failures.length > 0 ? RETRY_MS : INTERVAL_MS, ...due));
  }

  /** The accepted site as the core reads it; null before the first apply. */
  async checked(): Promise<CheckedSite | null> {
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
  async bring(desired: Desired, stopped: readonly Name[]): Promise<void> {
    const observed = await this.#parts.host.observe(desired);
    for (const step of planSteps({ desired, observed, stopped, held: [] }))
      await this.mustDo(step, { siteDir: "/nonexistent" });
  }

  async mustDo(step: Step, context: StepContext): Promise<void> {
    const failure = await this.take(step, context);
    if (failure !== null)
      throw new WardenError("step-failed", `${step.kind} ${step.target}: ${failure.message}`, {
        fields: { code: failure.code },
      });
  }

  async take(step: Step, context: StepContext): Promise<StepFailure | null> {
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

  #publish(found: Found): void {
    const problems = [...found.problems, ...this.#parts.audit.problems()];
    this.#feed.publish(stateOf({ ...found, problems }, this.#parts.state, this.#parts.nowMs()));
  }
}
