/**
 * Audit log: the one way in for everything that is recorded. Entries are chained and flushed in
 * groups; an append resolves when its entry is on the disk.
 *
 * While the log's volume is not there, entries wait in memory, bounded. What cannot be recorded:
 * an order, and whatever sensord hands in, is refused (`audit-unwritable`); holding the host goes
 * on, the loss is counted, said in the status, and recorded as soon as the log can be written.
 */
import {
  AuditEntry,
  type AuditPage,
  type AuditReading,
  type AuditWriter,
  type WardenState,
} from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import type { Audit } from "../hold/ports.ts";
import type { SensorKey } from "../sensor-key.ts";
import { AuditStore, type Draft } from "./audit-store.ts";
import { boundedEntry, mustBeRecorded } from "./entry-rules.ts";
import { SENSORD_LIMITS, SensordBounds, type SensordLimits } from "./sensord-bounds.ts";
import { AUDIT_LIMITS, type AuditLimits } from "./trim.ts";

export interface AuditLogOptions {
  /** Its parent must be there before anything is written: see `recover`. */
  readonly dir: string;
  readonly key: SensorKey;
  readonly limits?: AuditLimits;
  readonly sensordLimits?: SensordLimits;
  readonly nowMs?: () => number;
}

interface Waiting {
  readonly draft: Draft;
  /** Null: nobody waits for it any more. */
  readonly settle: { resolve(): void; reject(error: unknown): void } | null;
}

const MOST_HELD = 2_000;
const MOST_AT_ONCE = 256;
/** A log that could not be opened or written is tried again so soon. */
const RETRY_MS = 1_000;
/** Refused entries are counted for so long before the count is recorded. */
const REFUSED_EVERY_MS = 10_000;

export class AuditLog implements AsyncDisposable {
  readonly #options: Required<AuditLogOptions>;
  readonly #bounds: SensordBounds;
  #store: AuditStore | null = null;
  #waiting: readonly Waiting[] = [];
  #flushing: Promise<void> | null = null;
  #retry: NodeJS.Timeout | null = null;
  #refusedTimer: NodeJS.Timeout | null = null;
  /** Why nothing can be written at present; null where it can. */
  #trouble: string | null = "its volume is not open yet";
  #lost = 0;
  #wanted = false;
  #changed: () => void = () => undefined;

  constructor(options: AuditLogOptions) {
    this.#options = {
      limits: AUDIT_LIMITS,
      sensordLimits: SENSORD_LIMITS,
      nowMs: () => Date.now(),
      ...options,
    };
    this.#bounds = new SensordBounds(this.#options.sensordLimits, () => performance.now());
  }

  /** Called when what `problems` says has changed. */
  onChange(listener: () => void): void {
    this.#changed = listener;
  }

  /** The log as one writer sees it; every entry says whose it is. */
  writer(by: AuditWriter): Audit {
    return { append: (kind, subject, detail) => this.#append(by, boundedEntry({ kind, subject, detail })) };
  }

  /**
   * What sensord hands in, within its bounds.
   *
   * @throws WardenError `audit-rate`, `audit-entry-too-large`, `audit-unwritable`; ZodError
   */
  async appendForSensord(body: unknown): Promise<void> {
    const parsed = AuditEntry.safeParse(body);
    const refusal = parsed.success
      ? this.#bounds.judge(Buffer.byteLength(JSON.stringify(parsed.data)))
      : this.#bounds.refuse("shape");
    if (refusal !== null) this.#recordRefusedSoon();
    if (!parsed.success) throw parsed.error;
    if (refusal === "size")
      throw new WardenError("audit-entry-too-large", "the entry is too large to be recorded");
    if (refusal === "rate") throw new WardenError("audit-rate", "sensord adds entries faster than it may");
    await this.#append("sensord", parsed.data);
  }

  /** The volume is open: recovers the log, writes what waited. Also tried again by itself from now on. */
  async attach(): Promise<void> {
    this.#wanted = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    await this.#flush();
  }

  /** The volume is about to be closed: what comes from now on waits. */
  async detach(why = "its volume is locked"): Promise<void> {
    this.#wanted = false;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = null;
    await this.#flushing;
    this.#hold(this.#waiting);
    await this.#close(why);
  }

  /** @throws WardenError `audit-unwritable` while there is no log to read */
  async read(reading: AuditReading): Promise<AuditPage> {
    if (this.#store !== null) return this.#store.read(reading);
    throw new WardenError(
      "audit-unwritable",
      `the audit log cannot be read: ${this.#trouble ?? "it is closed"}`,
    );
  }

  /** For the status: what is not recorded as it should be. */
  problems(): WardenState["problems"] {
    const said = (code: string, message: string) => ({ target: "audit", code, message });
    const store = this.#store?.trouble ?? null;
    return [
      ...(this.#trouble === null
        ? []
        : [
            said(
              "audit-unwritable",
              `${this.#trouble}; entries that wait in memory: ${this.#waiting.length}`,
            ),
          ]),
      ...(this.#lost === 0 ? [] : [said("audit-lost", `entries that could not be recorded: ${this.#lost}`)]),
      ...(store === null ? [] : [said("audit-unwritable", store)]),
    ];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#refusedTimer !== null) clearTimeout(this.#refusedTimer);
    this.#recordRefused();
    if (this.#wanted) await this.#flush();
    await this.detach("warden ends");
  }

  #append(by: AuditWriter, entry: AuditEntry): Promise<void> {
    const draft = { by, entry, time: new Date(this.#options.nowMs()).toISOString() };
    if (this.#isFull(by)) {
      if (isStrict(draft)) return Promise.reject(this.#unwritable("too much waits to be recorded"));
      this.#lost += 1;
      return Promise.resolve();
    }
    // It just failed: the timer tries again, not each entry.
    if (this.#retry !== null && isStrict(draft)) return Promise.reject(this.#unwritable(this.#trouble ?? ""));
    // Before the volume is open an order is taken with its entry in memory: else nothing could be unlocked.
    if (!this.#wanted || this.#retry !== null) {
      this.#waiting = [...this.#waiting, { draft, settle: null }];
      return Promise.resolve();
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#waiting = [...this.#waiting, { draft, settle: { resolve, reject } }];
    void this.#flush();
    return promise;
  }

  /** sensord's entries never take the room of warden's. */
  #isFull(by: AuditWriter): boolean {
    if (by !== "sensord") return this.#waiting.length >= MOST_HELD;
    return this.#waiting.filter(({ draft }) => draft.by === "sensord").length >= MOST_HELD / 4;
  }

  #flush(): Promise<void> {
    this.#flushing ??= this.#write();
    return this.#flushing;
  }

  /** Writes until nothing waits, or the log cannot be written; what comes after that turn begins anew. Never throws. */
  async #write(): Promise<void> {
    await Promise.resolve();
    try {
      while (this.#wanted && (this.#store === null || this.#waiting.length > 0)) {
        if (!(await this.#writeBatch(this.#waiting.slice(0, MOST_AT_ONCE)))) return;
      }
    } finally {
      this.#flushing = null;
    }
  }

  /** False: the log cannot be written at present. */
  async #writeBatch(batch: readonly Waiting[]): Promise<boolean> {
    try {
      this.#store ??= await this.#openStore();
      await this.#store.append(this.#withLoss(batch.map(({ draft }) => draft)));
    } catch (error) {
      await this.#failed(error);
      return false;
    }
    const recovered = this.#trouble !== null || this.#lost > 0;
    this.#lost = 0;
    this.#trouble = null;
    if (recovered) this.#changed();
    this.#waiting = this.#waiting.slice(batch.length);
    for (const { settle } of batch) settle?.resolve();
    await this.#rotate(this.#store);
    return true;
  }

  async #openStore(): Promise<AuditStore> {
    const { dir, key, limits } = this.#options;
    return AuditStore.open(dir, key, limits, this.#now());
  }

  /** What was lost is said before what comes after it. */
  #withLoss(drafts: readonly Draft[]): readonly Draft[] {
    if (this.#lost === 0) return drafts;
    return [this.#own("audit.lost", { count: this.#lost, reason: this.#trouble ?? "" }), ...drafts];
  }

  /** Those who must be recorded are told, and are out; all else waits. */
  async #failed(error: unknown): Promise<void> {
    const words = error instanceof Error ? error.message : String(error);
    await this.#close(words);
    const refused = this.#waiting.filter(({ draft, settle }) => settle !== null && isStrict(draft));
    this.#hold(this.#waiting.filter((waiting) => !refused.includes(waiting)));
    for (const { settle } of refused) settle?.reject(this.#unwritable(words));
    this.#retry ??= setTimeout(() => {
      this.#retry = null;
      void this.#flush();
    }, RETRY_MS).unref();
  }

  async #rotate(store: AuditStore): Promise<void> {
    const trimmed = await store.rotate(this.#now());
    if (trimmed === null) return;
    const { from, to, removed } = trimmed;
    this.#enqueue(
      this.#own("audit.removed", { from, to, ...removed, why: "the log is as large as it may be" }),
    );
  }

  /** Nobody waits for these any more: they are in memory until the log can be written. */
  #hold(waiting: readonly Waiting[]): void {
    this.#waiting = waiting.map(({ draft }) => ({ draft, settle: null }));
    for (const { settle } of waiting) settle?.resolve();
  }

  #recordRefusedSoon(): void {
    this.#refusedTimer ??= setTimeout(() => {
      this.#refusedTimer = null;
      this.#recordRefused();
    }, REFUSED_EVERY_MS).unref();
  }

  #recordRefused(): void {
    const refused = this.#bounds.takeRefused();
    if (refused !== null) this.#enqueue(this.#own("audit.refused", { from: "sensord", ...refused }));
  }

  #enqueue(draft: Draft): void {
    this.#waiting = [...this.#waiting, { draft, settle: null }];
    void this.#flush();
  }

  #own(kind: string, detail: AuditEntry["detail"]): Draft {
    return { by: "warden", time: this.#now(), entry: { kind, subject: "audit", detail } };
  }

  #now(): string {
    return new Date(this.#options.nowMs()).toISOString();
  }

  async #close(why: string): Promise<void> {
    const store = this.#store;
    const changed = this.#trouble !== why;
    this.#store = null;
    this.#trouble = why;
    await store?.close();
    if (changed) this.#changed();
  }

  #unwritable(why: string): WardenError {
    return new WardenError(
      "audit-unwritable",
      `this must be recorded, and the audit log cannot be written: ${why}`,
    );
  }
}

function isStrict({ by, entry }: Draft): boolean {
  return mustBeRecorded(by, entry.kind);
}
