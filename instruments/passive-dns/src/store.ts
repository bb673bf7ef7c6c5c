/**
 * Store: what was seen, in SQLite on the instrument's own volume.
 *
 * Invariants: a batch is one transaction, on disk when `add` returns; an event whose id was counted
 * is never counted again, however late it is delivered again within the memory of ids (two
 * generations, each of so many ids and so long). It knows nothing of the bus.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { SeenRecord } from "./dns-record.ts";

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
}

const DEFAULTS: StoreOptions = { generationIds: 250_000, generationMs: 120_000, now: Date.now };

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
  readonly #isCounted: StatementSync;
  readonly #count: StatementSync;
  readonly #upsert: StatementSync;
  #generationIds: number;
  #generationBegan: number;

  constructor(path: string, options: Partial<StoreOptions> = {}) {
    this.#options = { ...DEFAULTS, ...options };
    const db = new DatabaseSync(path, { timeout: 5_000 });
    this.#db = db;
    // FULL: what was acknowledged to the bus survives a power cut.
    db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -4096");
    db.exec(SCHEMA);
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

  /** Counts a batch; returns how many events had records that were not counted before. */
  add(events: readonly SeenEvent[]): number {
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

  /** Forgets what was last seen before this moment, at most `limit` records; returns how many. */
  purge(beforeS: number, limit: number): number {
    const { changes } = this.#db
      .prepare(
        `DELETE FROM record WHERE (rrname, rrtype, rdata) IN
           (SELECT rrname, rrtype, rdata FROM record WHERE time_last < ? LIMIT ?)`,
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
      this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}
