/**
 * Resource receiver: what the platform placed in this instrument's read-only directory, handed to the
 * handler of its type.
 *
 * Invariants: one at a time for each type; each version is handled once in a process, however often the
 * platform tells of it; the platform learns how it went, so that it knows the last good version.
 */
import { join } from "node:path";
import { type Name, type ResourceAnswer, ResourceNotice } from "@bulkhead/schema";
import { errorText } from "./error.ts";

export interface ReceivedResource extends Omit<ResourceNotice, "path"> {
  readonly from: Name;
  /** Read-only file; there for as long as its handler runs, and while it is the current or the last good version. */
  readonly path: string;
}

export interface ReceiveOptions {
  readonly type: string;
  /** What it throws makes the version a failed one; the one before it stays the last good. */
  readonly handle: (resource: ReceivedResource) => Promise<void> | void;
}

interface Handled {
  readonly version: string;
  readonly answer: Promise<ResourceAnswer>;
}

/** Of one resource; the platform tells of two at most. */
const REMEMBERED_VERSIONS = 4;
const MOST_WORDS = 500;

export class ResourceReceiver {
  readonly #dir: string;
  readonly #onProblem: (text: string) => void;
  readonly #handlers = new Map<string, ReceiveOptions["handle"]>();
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #handled = new Map<string, readonly Handled[]>();
  readonly #ready = Promise.withResolvers<void>();

  constructor(dir: string, onProblem: (text: string) => void) {
    this.#dir = dir;
    this.#onProblem = onProblem;
  }

  receive({ type, handle }: ReceiveOptions): void {
    this.#handlers.set(type, handle);
  }

  /** All handlers are there; what came before is taken now. */
  ready(): void {
    this.#ready.resolve();
  }

  /** Answers `cmd.<i>.resource`. */
  async take(payload: unknown): Promise<ResourceAnswer> {
    const notice = ResourceNotice.safeParse(payload);
    if (!notice.success) return { outcome: "failed", message: "the notice is none" };
    await this.#ready.promise;
    const handle = this.#handlers.get(notice.data.type);
    if (handle === undefined) return { outcome: "no-handler" };
    return this.#once(notice.data, handle);
  }

  #once(notice: ResourceNotice, handle: ReceiveOptions["handle"]): Promise<ResourceAnswer> {
    const { from, type, name, version } = notice;
    const key = `${from}/${type}/${name}`;
    const known = this.#handled.get(key) ?? [];
    const before = known.find((each) => each.version === version);
    if (before !== undefined) return before.answer;
    const turn = this.#turns.get(type) ?? Promise.resolve();
    const answer = turn.then(() => this.#handle(notice, handle));
    this.#turns.set(type, answer);
    this.#handled.set(key, [...known, { version, answer }].slice(-REMEMBERED_VERSIONS));
    return answer;
  }

  async #handle(notice: ResourceNotice, handle: ReceiveOptions["handle"]): Promise<ResourceAnswer> {
    try {
      await handle({ ...notice, path: join(this.#dir, notice.path) });
      return { outcome: "taken" };
    } catch (error) {
      const { from, type, name, version } = notice;
      this.#onProblem(`${type} ${name} ${version} of ${from} was not taken: ${errorText(error)}`);
      return { outcome: "failed", message: errorText(error).slice(0, MOST_WORDS) };
    }
  }
}
