/**
 * Containment checks: that warden looked, as an auditor may want to see it, and not only what it
 * found. Each look at the host reads everything back; the first after the start is recorded at once,
 * and those that follow as one entry an hour, with their count.
 *
 * What was put right is recorded step by step elsewhere: see hold/passes.ts.
 */
import type { Observed } from "@bulkhead/schema";
import type { Audit, Host } from "../hold/ports.ts";

const EVERY_MS = 3_600_000;

interface Checks {
  /** RFC 3339. */
  readonly first: string;
  last: string;
  looks: number;
  /** Looks that told nothing, since the host could not be read. */
  failed: number;
  /** Looks that found something other than it was made. */
  differed: number;
  newest: Observed | null;
}

export interface ContainmentChecksOptions {
  readonly audit: Audit;
  readonly everyMs?: number;
  /** Monotonic. */
  readonly nowMs?: () => number;
}

export class ContainmentChecks implements AsyncDisposable {
  readonly #audit: Audit;
  readonly #everyMs: number;
  readonly #nowMs: () => number;
  #checks: Checks | null = null;
  /** When the next entry is due, by the monotonic clock. */
  #dueMs = -Infinity;

  constructor({ audit, everyMs = EVERY_MS, nowMs = () => performance.now() }: ContainmentChecksOptions) {
    this.#audit = audit;
    this.#everyMs = everyMs;
    this.#nowMs = nowMs;
  }

  /** The same look, counted. */
  counted(observe: Host["observe"]): Host["observe"] {
    return async (expected) => {
      try {
        const observed = await observe(expected);
        this.#note(observed);
        return observed;
      } catch (error) {
        this.#note(null);
        throw error;
      }
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#tell();
  }

  #note(observed: Observed | null): void {
    const time = new Date().toISOString();
    const checks = (this.#checks ??= {
      first: time,
      last: time,
      looks: 0,
      failed: 0,
      differed: 0,
      newest: null,
    });
    checks.last = time;
    checks.looks += 1;
    if (observed === null) checks.failed += 1;
    else checks.newest = observed;
    if (observed !== null && isOtherThanMade(observed)) checks.differed += 1;
    // Containment does not wait for its record; this kind of entry is never refused (entry-rules.ts).
    if (this.#nowMs() >= this.#dueMs) void this.#tell();
  }

  async #tell(): Promise<void> {
    const checks = this.#checks;
    if (checks === null) return;
    this.#checks = null;
    this.#dueMs = this.#nowMs() + this.#everyMs;
    const { looks, failed, differed, newest, first, last } = checks;
    await this.#audit.append("containment.checked", "sensor", {
      looks,
      failed,
      differed,
      first,
      last,
      ...(newest === null ? {} : figuresOf(newest)),
    });
  }
}

/** What was read back, at the newest look of those. */
function figuresOf({ instruments, volumes, spans, taps, segments, ports, nics, egress }: Observed) {
  return {
    instruments: instruments.map(({ name }) => name).join(", "),
    running: instruments.filter(({ state }) => state === "running").length,
    volumes: volumes.length,
    spans: spans.length,
    taps: taps.length,
    segments: segments.length,
    ports: ports.length,
    nics: nics.length,
    egress: egress !== null,
  };
}

function isOtherThanMade({ instruments, spans, taps, ports, nics, egress }: Observed): boolean {
  return (
    instruments.some(({ deviations }) => deviations.length > 0) ||
    spans.some(({ state }) => state === "unguarded") ||
    taps.some(({ wire }) => wire === "broken") ||
    [...ports, ...nics].some(({ state }) => state === "broken") ||
    egress?.state === "broken"
  );
}
