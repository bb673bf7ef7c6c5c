/**
 * Store: feeds, rollouts and what is in force where, in SQLite on the instrument's own volume.
 *
 * Invariants: what a method changed is on disk when it returns, so that a process that is killed goes
 * on from there; at most one rollout is open; rules themselves lie in files (set-files.ts).
 */
import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import * as z from "zod";
import { OPEN_STATES, type Rollout, setsKey, type RolloutState, type RolloutTarget } from "./rollout.ts";

/** A version of a feed. `offered` is kept beside `accepted` where it may not take its place. */
export interface FeedVersion {
  readonly name: string;
  readonly slot: "accepted" | "offered";
  readonly publisher: string;
  readonly version: string;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** RFC 3339. */
  readonly delivered: string;
  readonly rules: number;
  readonly state: "accepted" | "held" | "refused";
  readonly reason: string;
}

/** What an IDS has of ours. */
export interface InForce {
  readonly ids: string;
  readonly set: string;
  readonly sha256: string;
}

export type NewRollout = Omit<Rollout, "id" | "ended">;

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS feed (
    name TEXT NOT NULL, slot TEXT NOT NULL, publisher TEXT NOT NULL, version TEXT NOT NULL, sha256 TEXT NOT NULL,
    sizeBytes INTEGER NOT NULL, delivered TEXT NOT NULL, rules INTEGER NOT NULL, state TEXT NOT NULL,
    reason TEXT NOT NULL, PRIMARY KEY (name, slot)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS rollout (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created TEXT NOT NULL, ended TEXT, state TEXT NOT NULL, document TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS in_force (ids TEXT PRIMARY KEY, "set" TEXT NOT NULL, sha256 TEXT NOT NULL) WITHOUT ROWID;
`;

/** Own documents, written by this class alone. */
const Document = z.custom<Omit<Rollout, "id" | "created" | "ended" | "state">>(
  (value) => typeof value === "object" && value !== null,
);
const Row = z.object({
  id: z.int(),
  created: z.string(),
  ended: z.string().nullable(),
  state: z.custom<RolloutState>((value) => typeof value === "string"),
  document: z.string(),
});

export class Store implements Disposable {
  readonly #db: DatabaseSync;

  constructor(path: string) {
    this.#db = new DatabaseSync(path, { timeout: 5_000 });
    // FULL: what was answered to an operator survives a power cut.
    this.#db.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL");
    this.#db.exec(SCHEMA);
  }

  feeds(): readonly FeedVersion[] {
    // The columns of `feed`, as declared above.
    return this.#db
      .prepare("SELECT * FROM feed ORDER BY name, slot")
      .all() as unknown as readonly FeedVersion[];
  }

  feed(name: string, slot: FeedVersion["slot"]): FeedVersion | null {
    return this.feeds().find((each) => each.name === name && each.slot === slot) ?? null;
  }

  /** An accepted version is the one that was offered last, so that none is left beside it. */
  putFeed(feed: FeedVersion): void {
    this.#transaction(() => {
      if (feed.slot === "accepted")
        this.#run("DELETE FROM feed WHERE name = ? AND slot = 'offered'", feed.name);
      const { name, slot, publisher, version, sha256, sizeBytes, delivered, rules, state, reason } = feed;
      const values = [name, slot, publisher, version, sha256, sizeBytes, delivered, rules, state, reason];
      this.#run("INSERT OR REPLACE INTO feed VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", ...values);
    });
  }

  /** Newest first. */
  rollouts(limit: number): readonly Rollout[] {
    return this.#rollouts("ORDER BY id DESC LIMIT ?", limit);
  }

  rollout(id: number): Rollout | null {
    return this.#rollouts("WHERE id = ?", id)[0] ?? null;
  }

  openRollout(): Rollout | null {
    return this.#rollouts(`WHERE state IN (${OPEN_STATES.map(() => "?").join()})`, ...OPEN_STATES)[0] ?? null;
  }

  newestIn(...states: readonly RolloutState[]): Rollout | null {
    const marks = states.map(() => "?").join();
    return this.#rollouts(`WHERE state IN (${marks}) ORDER BY id DESC LIMIT 1`, ...states)[0] ?? null;
  }

  /** The last sets that came into force, newest first, each set once: the second is what can be gone back to. */
  appliedOnes(): readonly Rollout[] {
    const applied = this.#rollouts("WHERE state = 'applied' ORDER BY id DESC LIMIT ?", MOST_LOOKED_AT);
    return applied.filter(
      ({ sets }, index) => applied.findIndex((each) => setsKey(each.sets) === setsKey(sets)) === index,
    );
  }

  /** Those that wait, for an operator or for an IDS, are superseded by it. */
  addRollout(rollout: NewRollout): Rollout {
    const { created, state, ...document } = rollout;
    let id = 0;
    this.#transaction(() => {
      this.#run(
        "UPDATE rollout SET state = 'superseded', ended = ? WHERE state IN ('held', 'waiting', 'checking')",
        created,
      );
      const done = this.#db
        .prepare("INSERT INTO rollout (created, state, document) VALUES (?, ?, ?)")
        .run(created, state, JSON.stringify(document));
      id = Number(done.lastInsertRowid);
    });
    return { ...rollout, id, ended: null };
  }

  changeRollout(id: number, change: Partial<Omit<Rollout, "id" | "created">>): Rollout {
    const former = this.rollout(id);
    if (former === null) throw new RangeError(`no rollout ${id}`);
    const next = { ...former, ...change };
    const { id: _, created: __, ended, state, ...document } = next;
    this.#run(
      "UPDATE rollout SET ended = ?, state = ?, document = ? WHERE id = ?",
      ended,
      state,
      JSON.stringify(document),
      id,
    );
    return next;
  }

  changeTarget(id: number, ids: string, change: Partial<Omit<RolloutTarget, "ids">>): Rollout {
    const { targets } = this.rollout(id) ?? { targets: [] };
    return this.changeRollout(id, {
      targets: targets.map((target) => (target.ids === ids ? { ...target, ...change } : target)),
    });
  }

  inForce(): readonly InForce[] {
    // The columns of `in_force`, as declared above.
    return this.#db.prepare("SELECT * FROM in_force ORDER BY ids").all() as unknown as readonly InForce[];
  }

  /** One step: an IDS that has a set is never recorded without it, or the other way round. */
  recordApplied(rollout: number, { ids, set, sha256 }: InForce): Rollout {
    return this.#transaction(() => {
      this.#run("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?)", ids, set, sha256);
      return this.changeTarget(rollout, ids, { state: "applied", detail: "" });
    });
  }

  recordReverted(rollout: number, { ids, set, sha256 }: InForce): Rollout {
    return this.#transaction(() => {
      this.#run("INSERT OR REPLACE INTO in_force VALUES (?, ?, ?)", ids, set, sha256);
      return this.changeTarget(rollout, ids, { state: "reverted" });
    });
  }

  oldestEnded(): string | null {
    const row = this.#db.prepare("SELECT min(ended) AS oldest FROM rollout WHERE ended IS NOT NULL").get();
    const oldest = row?.["oldest"];
    return typeof oldest === "string" ? oldest : null;
  }

  /** Forgets history before this moment; the rollout that is in force stays. Returns how many went. */
  purge(before: string): number {
    const kept = this.newestIn("applied")?.id ?? 0;
    return this.#run("DELETE FROM rollout WHERE ended < ? AND id <> ?", before, kept);
  }

  /** Hashes that something refers to. */
  referred(): { readonly sets: ReadonlySet<string>; readonly feeds: ReadonlySet<string> } {
    const sets = new Set(this.inForce().map(({ sha256 }) => sha256));
    const inUse = this.appliedOnes().slice(0, 2);
    for (const rollout of [...this.rollouts(MOST_KEPT), ...inUse]) {
      for (const { sha256 } of rollout.sets) sets.add(sha256);
      for (const { formerSha256 } of rollout.targets) if (formerSha256 !== null) sets.add(formerSha256);
    }
    return { sets, feeds: new Set(this.feeds().map(({ sha256 }) => sha256)) };
  }

  [Symbol.dispose](): void {
    this.#db.close();
  }

  #rollouts(rest: string, ...values: readonly SQLInputValue[]): readonly Rollout[] {
    return this.#db
      .prepare(`SELECT * FROM rollout ${rest}`)
      .all(...values)
      .map((row) => {
        const { document, ...columns } = Row.parse(row);
        return { ...Document.parse(JSON.parse(document)), ...columns };
      });
  }

  #run(sql: string, ...values: readonly SQLInputValue[]): number {
    return Number(this.#db.prepare(sql).run(...values).changes);
  }

  #transaction<T>(work: () => T): T {
    if (this.#db.isTransaction) return work();
    this.#db.exec("BEGIN IMMEDIATE");
    try {
      const made = work();
      this.#db.exec("COMMIT");
      return made;
    } catch (error) {
      // A full disk ends a transaction by itself (sqlite.org/lang_transaction.html, section 2.3).
      if (this.#db.isTransaction) this.#db.exec("ROLLBACK");
      throw error;
    }
  }
}

/** Rollouts whose sets stay, so that they can be looked into; beside what is in force, and what it can go back to. */
const MOST_KEPT = 10;
const MOST_LOOKED_AT = 50;
