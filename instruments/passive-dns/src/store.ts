/**
 * Store: what was seen, in SQLite on the instrument's own volume.
 *
 * Invariants: a batch is one transaction, on disk when `add` returns; an event whose id was counted
 * is never counted again, however late it is delivered again within the memory of ids (two
 * generations, each of so many ids and so long). On a full volume the oldest make room for the new;
 * cleaning always has room to work in. It knows nothing of the bus.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SeenRecord } from "./dns-record.ts";
import { isFull, StoreSpace } from "./store-space.ts";

/** The answers of one event. Times are whole seconds since 1970, as in the COF. */
export interface SeenEvent {
  readonly id: string;
  readonly timeS: number;
  readonly records: readonly SeenRecord[];
}

/** One line of the Passive DNS Common Output Format (draft-dulaunoy-dnsop-passive-dns-cof). */
export interface CofRecord extends SeenRecord {
  readonly time_first: number;
  readonly time_last: number;
  readonly count: number;
}

export interface StoreStats {
  readonly records: number;
  readonly names: number;
  /** Answers taken in for all records together. */
  readonly observations: number;
  /** Whole seconds since 1970; null where the store is empty. */
  readonly oldest: number | null;
  readonly newest: number | null;
}

export interface StoreOptions {
  /** A generation of ids ends when it holds so many and is so old. */
  readonly generationIds: number;
  readonly generationMs: number;
  readonly now: () => number;
  /** Told how many of the oldest records had to make room for new ones. */
  readonly onFull: (removed: number) => void;
}

const DEFAULTS: StoreOptions = {
  generationIds: 250_000,
  generationMs: 120_000,
  now: Date.now,
  onFull: () => undefined,
};
/** Records that go in one step: few, so that their pages fit into the reserve. */
const STEP = 100;
/** Even a deletion may need pages of its own, where what is left is put in order. */
const CLEANER_PAGES = 256;
/** A batch that finds no room after so many steps is too large for this volume. */
const MOST_STEPS = 200;
const NO_LIMIT = Number.MAX_SAFE_INTEGER;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS record (
    rrname TEXT NOT NULL, rrtype TEXT NOT NULL, rdata TEXT NOT NULL,
    time_first INTEGER NOT NULL, time_last INTEGER NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (rrname, rrtype, rdata)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS record_rdata ON record (rdata);
  CREATE INDEX IF NOT EXISTS record_time_last ON record (time_last);
  CREATE TABLE IF NOT EXISTS counted_new (id TEXT PRIMARY KEY) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS counted_old (id TEXT PRIMARY KEY) WITHOUT ROWID;
`;

export class Store implements Disposable {
  readonly #db: DatabaseSync;
  readonly #options: StoreOptions;
  readonly #space: StoreSpace | null;
  readonly #mostPages: number;
  readonly #isCounted: StatementSync;
  readonly #count: StatementSync;
  readonly #upsert: StatementSync;
  #generationIds: number;
  #generationBegan: number;

  constructor(path: string, options: Partial<StoreOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
    this.#space = path === ":memory:" ? null : new StoreSpace(path);
    const db = openDatabase(path, this.#space);
    this.#db = db;
    this.#mostPages = Number(db.prepare("PRAGMA max_page_count").get()?.["max_page_count"]);
    this.#isCounted = db.prepare(
      "SELECT 1 FROM counted_new WHERE id = ?1 UNION ALL SELECT 1 FROM counted_old WHERE id = ?1",
    );
    this.#count = db.prepare("INSERT INTO counted_new (id) VALUES (?)");
    this.#upsert = db.prepare(`
      INSERT INTO record VALUES (?1, ?2, ?3, ?4, ?4, 1)
      ON CONFLICT DO UPDATE SET count = count + 1,
        time_first = min(time_first, excluded.time_first), time_last = max(time_last, excluded.time_last)`);
    this.#generationIds = Number(db.prepare("SELECT count(*) AS n FROM counted_new").get()?.["n"] ?? 0);
    this.#generationBegan = this.#options.now();
  }

  /**
   * Counts a batch; returns how many events had records that were not counted before. On a full
   * volume the records that were not seen for longest make room.
   */
  add(events: readonly SeenEvent[]): number {
    let removed = 0;
    for (let step = 0; ; step += 1) {
      try {
        const counted = this.#add(events);
        if (removed > 0) this.#options.onFull(removed);
        return counted;
      } catch (error) {
        if (!isFull(error) || step >= MOST_STEPS) throw error;
        const gone = this.#makeRoom(NO_LIMIT, STEP);
        if (gone === 0) throw error;
        removed += gone;
      }
    }
  }

  #add(events: readonly SeenEvent[]): number {
    let counted = 0;
    this.#transaction(() => {
      for (const event of events) {
        if (event.records.length === 0 || this.#isCounted.get(event.id) !== undefined) continue;
        this.#count.run(event.id);
        counted += 1;
        for (const { rrname, rrtype, rdata } of event.records) {
          this.#upsert.run(rrname, rrtype, rdata, event.timeS);
        }
      }
    });
    this.#generationIds += counted;
    this.#turnGeneration();
    return counted;
  }

  /** Records whose name or data is this term, the most recently seen first. */
  lookup(term: string, limit: number): readonly CofRecord[] {
    const rows = this.#db
      .prepare(
        `SELECT * FROM record WHERE rrname = ?1
         UNION SELECT * FROM record WHERE rdata = ?1
         ORDER BY time_last DESC, rrname, rrtype, rdata LIMIT ?2`,
      )
      .all(term, limit);
    return rows as unknown as readonly CofRecord[]; // the columns of `record`, as declared above
  }

  /**
   * Forgets what was last seen before this moment, at most `limit` records, those that were not seen
   * for longest first; returns how many. It works on a full volume too.
   */
  purge(beforeS: number, limit: number): number {
    let removed = 0;
    while (removed < limit) {
      const wanted = Math.min(STEP, limit - removed);
      const gone = this.#makeRoom(beforeS, wanted);
      removed += gone;
      if (gone < wanted) break;
    }
    this.#space?.take();
    return removed;
  }

  /** One step of the cleaner, which has room of its own; where even that is taken, the reserve is given up for it. */
  #makeRoom(beforeS: number, limit: number): number {
    this.#db.exec(`PRAGMA max_page_count = ${this.#mostPages + CLEANER_PAGES}`);
    try {
      return this.#delete(beforeS, limit);
    } catch (error) {
      if (!isFull(error) || this.#space === null) throw error;
      this.#space.give();
      this.#shrinkLog();
      const removed = this.#delete(beforeS, limit);
      this.#shrinkLog();
      return removed;
    } finally {
      this.#db.exec(`PRAGMA max_page_count = ${this.#mostPages}`);
    }
  }

  /** What the log holds goes into the database, and the log begins anew. */
  #shrinkLog(): void {
    this.#db.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  #delete(beforeS: number, limit: number): number {
    const { changes } = this.#db
      .prepare(
        `DELETE FROM record WHERE (rrname, rrtype, rdata) IN
           (SELECT rrname, rrtype, rdata FROM record WHERE time_last < ? ORDER BY time_last LIMIT ?)`,
      )
      .run(beforeS, limit);
    return Number(changes);
  }

  stats(): StoreStats {
    const row = this.#db
      .prepare(
        `SELECT count(*) AS records, count(DISTINCT rrname) AS names,
           min(time_last) AS oldest, max(time_last) AS newest,
           coalesce(sum(count), 0) AS observations FROM record`,
      )
      .get();
    return { ...row } as unknown as StoreStats; // one row always, with these columns
  }

  /** When the record that was not seen for longest was last seen; null where there is none. */
  oldestS(): number | null {
    const row = this.#db.prepare("SELECT min(time_last) AS oldest FROM record").get();
    const oldest = row?.["oldest"];
    return typeof oldest === "number" ? oldest : null;
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  /** The older ids are forgotten; the newer become the older. */
  #turnGeneration(): void {
    const { generationIds, generationMs, now } = this.#options;
    if (this.#generationIds < generationIds || now() - this.#generationBegan < generationMs) return;
    this.#transaction(() => {
      this.#db.exec(
        "DELETE FROM counted_old; INSERT INTO counted_old SELECT id FROM counted_new; DELETE FROM counted_new",
      );
    });
    this.#generationIds = 0;
    this.#generationBegan = now();
  }

  #transaction(work: () => void): void {
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      work();
      this.#db.exec("COMMIT");
    } catch (error) {
      // A full disk ends a transaction by itself (sqlite.org/lang_transaction.html, section 2.3).
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}

function openDatabase(path: string, space: StoreSpace | null): DatabaseSync {
  const open = (): DatabaseSync => {
    const db = new DatabaseSync(path, { timeout: 5_000 });
    try {
      // FULL: what was acknowledged to the bus survives a power cut.
      db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -4096");
      if (space !== null) {
        const pageBytes = Number(db.prepare("PRAGMA page_size").get()?.["page_size"]);
        db.exec(`PRAGMA max_page_count = ${space.mostPages(pageBytes)}`);
      }
      db.exec(SCHEMA);
      return db;
    } catch (error) {
      db.close();
      throw error;
    }
  };
  try {
    const db = open();
    space?.take();
    return db;
  } catch (error) {
    if (space === null || !isFull(error)) throw error;
    space.give();
    return open();
  }
}
