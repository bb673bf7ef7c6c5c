/**
 * Source store: the last good version of one source and the record of it, in a directory of its own on the volume.
 *
 * Invariants: a version is in force when the record says so, and its content was on the disk before; whenever it is
 * killed, the next opening finds the former version or the new one, whole; what nothing refers to is removed then. A
 * content that is not what the record says is none: it is fetched anew.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type BeforeStep, digestFile, settle } from "./durable.ts";
import { NEW_RECORD, SourceRecord, type Version } from "./source-record.ts";

const RECORD = "record.json";
/** The beginning of an answer outlives a restart. */
const BODY = "body";

export class SourceStore {
  readonly #dir: string;
  readonly #beforeStep: BeforeStep;
  #record: SourceRecord;
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(dir: string, beforeStep: BeforeStep, record: SourceRecord) {
    this.#dir = dir;
    this.#beforeStep = beforeStep;
    this.#record = record;
  }

  /** `name` was checked to be a plain file name. */
  static async open(
    root: string,
    name: string,
    beforeStep: BeforeStep = () => undefined,
  ): Promise<SourceStore> {
    const dir = join(root, name);
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const store = new SourceStore(dir, beforeStep, await readRecord(join(dir, RECORD)));
    await store.#check();
    await store.#sweep([BODY, `${BODY}.json`]);
    return store;
  }

  /** Names of all sources that something is kept of. */
  static async list(root: string): Promise<readonly string[]> {
    await mkdir(root, { recursive: true, mode: 0o700 });
    return await readdir(root);
  }

  static async remove(root: string, name: string): Promise<void> {
    await rm(join(root, name), { recursive: true, force: true });
  }

  get record(): SourceRecord {
    return this.#record;
  }

  get beforeStep(): BeforeStep {
    return this.#beforeStep;
  }

  /** Where what is fetched goes. */
  get bodyPath(): string {
    return join(this.#dir, BODY);
  }

  /** Where what is inside of an archive goes, for the time being. */
  get unpackedPath(): string {
    return join(this.#dir, "unpacked.work");
  }

  contentPath({ sha256 }: Pick<Version, "sha256">): string {
    return join(this.#dir, `content-${sha256}`);
  }

  /** One after the other, so that a run and a delivery do not undo each other's. */
  change(change: Partial<SourceRecord>): Promise<void> {
    const turn = this.#turn.then(() => this.#write({ ...this.#record, ...change }));
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }

  async #write(record: SourceRecord): Promise<void> {
    const next = join(this.#dir, `${RECORD}.new`);
    this.#beforeStep(`write ${next}`);
    await writeFile(next, JSON.stringify(SourceRecord.parse(record), null, 1));
    await settle(next, join(this.#dir, RECORD), this.#beforeStep);
    this.#record = record;
  }

  /** Puts a checked file into force as this version. */
  async commit(file: string, current: Version, change: Partial<SourceRecord>): Promise<void> {
    await settle(file, this.contentPath(current), this.#beforeStep);
    await this.change({ ...change, current });
    this.#beforeStep("remove what was there");
    await this.#sweep([]);
  }

  /** Removes what nothing refers to. */
  async #sweep(alsoKeep: readonly string[]): Promise<void> {
    const { current } = this.#record;
    const keep = new Set([RECORD, ...alsoKeep, ...(current === null ? [] : [`content-${current.sha256}`])]);
    for (const name of await readdir(this.#dir)) {
      if (!keep.has(name)) await rm(join(this.#dir, name), { recursive: true, force: true });
    }
  }

  /** A disk may lose what it promised to keep. */
  async #check(): Promise<void> {
    const { current } = this.#record;
    if (current === null) return;
    const found = await digestFile(this.contentPath(current)).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return null;
      throw error;
    });
    if (found?.sha256 !== current.sha256) this.#record = { ...this.#record, current: null, nextRunAt: null };
  }
}

async function readRecord(path: string): Promise<SourceRecord> {
  try {
    return SourceRecord.safeParse(JSON.parse(await readFile(path, "utf8"))).data ?? NEW_RECORD;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return NEW_RECORD;
    throw error;
  }
}
