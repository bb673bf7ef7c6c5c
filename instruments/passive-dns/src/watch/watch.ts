/**
 * Watch: the lists in force, and what of the records that are seen falls under them.
 *
 * Invariants: a list takes its former version's place when it was read whole; a refused one leaves what
 * there is. A record that falls under an entry is told once within the window, however often it is seen.
 */
import type { ReceivedResource } from "@bulkhead/sdk";
import type { SeenRecord } from "../dns-record.ts";
import { familyOf } from "./network.ts";
import { readWatchList, type WatchList } from "./watch-list.ts";

/** What is emitted: exactly one of `name` and `address`, which falls under the entry of the list. */
export interface Sighting {
  readonly name?: string;
  readonly address?: string;
  readonly entry: string;
  readonly list: string;
  readonly record: SeenRecord;
  /** RFC 3339, when it was seen. */
  readonly time: string;
}

export interface WatchOptions {
  /** Of all lists together. */
  readonly mostEntries: number;
  readonly windowMs: number;
  readonly mostRemembered: number;
  /** Monotonic. */
  readonly now: () => number;
}

const DEFAULTS: WatchOptions = {
  mostEntries: 1_000_000,
  windowMs: 3_600_000,
  mostRemembered: 50_000,
  now: () => performance.now(),
};
/** Types whose data is a name of its own. */
const NAME_TYPES: ReadonlySet<string> = new Set(["CNAME", "NS", "PTR", "DNAME"]);

type Resource = Pick<ReceivedResource, "from" | "name" | "path" | "version">;

export class Watch {
  readonly #options: WatchOptions;
  readonly #lists = new Map<string, WatchList>();
  readonly #refusals = new Map<string, string>();
  /** When what was last told of, oldest first. */
  readonly #told = new Map<string, number>();

  constructor(options: Partial<WatchOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
  }

  /** @throws Error where it is refused, so that its publisher is told */
  async take({ from, name, path, version }: Resource): Promise<number> {
    const label = `${from}/${name}`;
    const others = [...this.#lists].filter(([each]) => each !== label);
    const room = this.#options.mostEntries - others.reduce((sum, [, list]) => sum + list.size, 0);
    const read = await readWatchList(label, path, room);
    if (read.kind === "refused") {
      this.#refusals.set(label, `${version}: ${read.reason}`);
      throw new Error(`the watch list ${label} is refused: ${read.reason}`);
    }
    this.#refusals.delete(label);
    this.#lists.set(label, read.list);
    return read.list.size;
  }

  /** What is to be told of records seen at this time. */
  sightings(records: readonly SeenRecord[], time: string): readonly Sighting[] {
    if (this.#lists.size === 0) return [];
    return records.flatMap((record) =>
      termsOf(record).flatMap((term) =>
        [...this.#lists.values()].flatMap((list): readonly Sighting[] => {
          const entry = list.find(term);
          if (entry === null || this.#isTold(record, list.name, entry)) return [];
          const what = familyOf(term) === null ? { name: term } : { address: term };
          return [{ ...what, entry, list: list.name, record, time }];
        }),
      ),
    );
  }

  status() {
    return {
      lists: Array.from(this.#lists.values(), ({ name, size }) => ({ name, entries: size })),
      refused: Array.from(this.#refusals, ([name, reason]) => ({ name, reason })),
    };
  }

  #isTold({ rrname, rrtype, rdata }: SeenRecord, list: string, entry: string): boolean {
    const key = [rrname, rrtype, rdata, list, entry].join("\0");
    const now = this.#options.now();
    const before = this.#told.get(key);
    if (before !== undefined && now - before < this.#options.windowMs) return true;
    this.#told.delete(key);
    this.#told.set(key, now);
    if (this.#told.size > this.#options.mostRemembered) {
      const [oldest] = this.#told.keys(); // a Map keeps insertion order
      if (oldest !== undefined) this.#told.delete(oldest);
    }
    return false;
  }
}

function termsOf({ rrname, rrtype, rdata }: SeenRecord): readonly string[] {
  const isTerm =
    NAME_TYPES.has(rrtype) || ((rrtype === "A" || rrtype === "AAAA") && familyOf(rdata) !== null);
  return isTerm && rdata !== rrname ? [rrname, rdata] : [rrname];
}
