/**
 * Receiver notices: tells each receiver of the versions that lie with it, and hears what it made of them.
 *
 * Invariants: one at a time for each receiver and type, so that a slow handler holds up nobody else's;
 * after each greeting a receiver is told of all that it has, since it may be a new process; what it is
 * told of stays until it has answered, or for as long as it is asked.
 */
import type { Name, ResourceAnswer, ResourceNotice } from "@bulkhead/schema";
import { TimeoutError } from "@nats-io/transport-node";
import { describeError, type Log } from "../log.ts";
import type { ResourceKey } from "./resource-key.ts";

export interface NoticePorts {
  notices(to: Name, key?: ResourceKey): readonly ResourceNotice[];
  /** @throws SensordError `bus-no-answer`, with the client's TimeoutError as its cause where somebody is there */
  tell(to: Name, notice: ResourceNotice, signal: AbortSignal): Promise<ResourceAnswer>;
  /** `release` is called when the version need not stay for its sake. */
  answered(
    to: Name,
    notice: ResourceNotice,
    answer: ResourceAnswer | null,
    release: () => void,
  ): Promise<void>;
}

/** A handler that takes longer than a command may is asked again how it went, for about an hour. */
const MOST_TRIES = 30;

interface Waiting {
  readonly notice: ResourceNotice;
  readonly tries: number;
}

/** Of one receiver and type. */
class Line {
  waiting: Waiting[] = [];
  telling: ResourceNotice | null = null;
  running = false;
}

export class ReceiverNotices implements Disposable {
  readonly #ports: NoticePorts;
  readonly #log: Log;
  readonly #lines = new Map<string, Line>();
  readonly #end = new AbortController();

  constructor(ports: NoticePorts, log: Log) {
    this.#ports = ports;
    this.#log = log;
  }

  /** The version that a receiver is being told of. */
  told(to: Name, { from, type, name }: ResourceKey): string | null {
    const telling = this.#lines.get(`${to} ${type}`)?.telling;
    return telling?.from === from && telling.name === name ? telling.version : null;
  }

  /** It greeted: it is told of all that it has. */
  greeted(to: Name): void {
    for (const [key, line] of this.#lines) if (key.startsWith(`${to} `)) line.waiting = [];
    this.#add(to, this.#ports.notices(to));
  }

  /** A new version lies with it. What waits of an older one is not told any more. */
  placed(to: Name, key: ResourceKey): void {
    const line = this.#lines.get(`${to} ${key.type}`);
    if (line !== undefined)
      line.waiting = line.waiting.filter(({ notice: n }) => n.from !== key.from || n.name !== key.name);
    this.#add(to, this.#ports.notices(to, key).slice(-1));
  }

  [Symbol.dispose](): void {
    this.#end.abort();
  }

  #add(to: Name, notices: readonly ResourceNotice[]): void {
    for (const notice of notices) {
      const key = `${to} ${notice.type}`;
      const line = this.#lines.get(key) ?? new Line();
      this.#lines.set(key, line);
      line.waiting.push({ notice, tries: 0 });
      if (!line.running) void this.#run(to, line);
    }
  }

  async #run(to: Name, line: Line): Promise<void> {
    line.running = true;
    for (let next = line.waiting.shift(); next !== undefined; next = line.waiting.shift()) {
      if (this.#end.signal.aborted) break;
      await this.#tell(to, line, next);
    }
    line.running = false;
  }

  async #tell(to: Name, line: Line, { notice, tries }: Waiting): Promise<void> {
    line.telling = notice;
    const release = (): void => {
      line.telling = null;
    };
    try {
      const answer = await this.#ports.tell(to, notice, this.#end.signal);
      await this.#ports.answered(to, notice, answer, release);
    } catch (error) {
      const cause = error instanceof Error ? error.cause : undefined;
      if (!(cause instanceof TimeoutError)) {
        line.waiting = []; // nobody is there; who comes greets
      } else if (tries < MOST_TRIES) line.waiting.push({ notice, tries: tries + 1 });
      else
        this.#log.warn("a receiver does not say what it made of a resource", { to, ...describeError(error) });
      await this.#ports.answered(to, notice, null, release).catch((failure: unknown) => {
        this.#log.warn("what is no longer needed is not removed", { to, ...describeError(failure) });
      });
    }
  }
}
