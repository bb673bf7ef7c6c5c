/**
 * End watch: which instruments ended by themselves, and what was found of their containment.
 *
 * Invariants: an instrument that was started, or seen running, and neither stopped nor running since has ended by
 * itself, however soon after its start; each end is counted once, and each finding audited once.
 */
import type { Name, Observed, Step } from "@bulkhead/schema";
import type { HolderParts } from "./ports.ts";

type EndWatchParts = Pick<HolderParts, "state" | "audit" | "nowMs">;

export class EndWatch {
  readonly #parts: EndWatchParts;
  readonly #running = new Set<Name>();
  readonly #findings = new Map<Name, string>();
  /** Why an instrument was halted, until a look has found it ended. */
  readonly #halts = new Map<Name, string>();

  constructor(parts: EndWatchParts) {
    this.#parts = parts;
  }

  /** A start that worked, or a stop or removal, whether or not it worked to its end. */
  taken(step: Step): void {
    if (step.kind === "instrument.start") this.#running.add(step.instrument);
    if (step.kind === "instrument.stop" || step.kind === "instrument.remove") this.stopped(step.instrument);
  }

  /** Its next end is no news. */
  stopped(instrument: Name): void {
    this.#running.delete(instrument);
  }

  halted(instrument: Name, reason: string): void {
    this.#halts.set(instrument, reason);
  }

  /** After the look that follows a halt: counts the end of one that was not seen to run before. */
  async settleHalt(instrument: Name): Promise<void> {
    const reason = this.#halts.get(instrument);
    if (reason === undefined) return;
    this.#halts.delete(instrument);
    await this.#parts.state.recordEnd(instrument, this.#parts.nowMs(), reason);
  }

  seenRunning(observed: Observed): void {
    for (const { name, state } of observed.instruments) if (state === "running") this.#running.add(name);
  }

  async look(observed: Observed): Promise<void> {
    const { state, audit, nowMs } = this.#parts;
    for (const { name, state: now, deviations } of observed.instruments) {
      if (now !== "running" && this.#running.delete(name)) {
        await state.recordEnd(name, nowMs(), this.#halts.get(name) ?? `its container is ${now}`);
        this.#halts.delete(name);
        await audit.append("instrument.ended", name, { state: now });
      }
      const finding = deviations.join("; ");
      if (finding !== "" && this.#findings.get(name) !== finding)
        await audit.append("containment.differs", name, { finding });
      this.#findings.set(name, finding);
    }
  }
}
