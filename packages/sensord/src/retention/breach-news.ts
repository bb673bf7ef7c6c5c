/**
 * Breach news: tells of each breach once when it opens and once when it is gone, as an event of the
 * platform and an entry of the audit log. What the broker did not take is told again.
 */
import { type AuditEntry, type Name, RETENTION_EVENT, type RetentionBreach } from "@bulkhead/schema";
import { describeError, type Log } from "../log.ts";
import type { RetentionSubject } from "./retention-subject.ts";

export type EmitEvent = (type: string, data: unknown) => Promise<unknown>;

export interface OpenBreach {
  readonly subject: RetentionSubject;
  readonly breach: RetentionBreach;
}

export class BreachNews {
  readonly #emit: EmitEvent;
  readonly #audit: (kind: string, subject: string, detail: AuditEntry["detail"]) => void;
  readonly #log: Log;
  readonly #told = new Map<string, OpenBreach>();

  constructor(
    emit: EmitEvent,
    audit: (kind: string, subject: string, detail: AuditEntry["detail"]) => void,
    log: Log,
  ) {
    this.#emit = emit;
    this.#audit = audit;
    this.#log = log;
  }

  async tell(sensor: Name | null, open: readonly OpenBreach[]): Promise<void> {
    const now = new Map(open.map((one) => [`${one.subject.key} ${one.breach.basis}`, one]));
    for (const [key, one] of now) {
      if (!this.#told.has(key) && (await this.#say(sensor, "open", one))) this.#told.set(key, one);
    }
    for (const [key, one] of this.#told) {
      if (!now.has(key) && (await this.#say(sensor, "cleared", one))) this.#told.delete(key);
    }
  }

  async #say(
    sensor: Name | null,
    state: "open" | "cleared",
    { subject, breach }: OpenBreach,
  ): Promise<boolean> {
    const { owner, store, period } = subject;
    try {
      await this.#emit(RETENTION_EVENT, {
        sensor,
        state,
        instrument: owner,
        store,
        by: period.by,
        ...breach,
      });
    } catch (error) {
      this.#log.info("a breach of retention was not told yet", describeError(error));
      return false;
    }
    const { basis, record, oldest, periodMs } = breach;
    this.#audit("retention.breach", owner, { state, store, basis, record, oldest, periodMs });
    return true;
  }
}
