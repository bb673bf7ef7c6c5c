/**
 * Body file: what comes of an answer, on the volume, so that a fetch can go on where it was cut, also after a restart.
 *
 * Invariants: only as many bytes are gone on with as were forced to the disk under the validator that came with them;
 * without a validator nothing is.
 */
import { type FileHandle, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import * as z from "zod";
import { type BeforeStep, settle } from "./durable.ts";
import type { CutAnswer } from "./http-head.ts";

const SYNC_EVERY_BYTES = 8 * 1024 * 1024;
const Kept = z.strictObject({ url: z.string(), validator: z.string(), bytes: z.int().min(0) });

export class BodyFile implements AsyncDisposable {
  readonly path: string;
  readonly #file: FileHandle;
  readonly #beforeStep: BeforeStep;
  readonly #origin: Omit<CutAnswer, "bytes"> | null;
  #bytes: number;
  #synced: number;

  private constructor(
    path: string,
    file: FileHandle,
    beforeStep: BeforeStep,
    origin: Omit<CutAnswer, "bytes"> | null,
    bytes: number,
  ) {
    this.path = path;
    this.#file = file;
    this.#beforeStep = beforeStep;
    this.#origin = origin;
    this.#bytes = bytes;
    this.#synced = bytes;
  }

  /** What of an earlier answer is there; null where nothing is, or nothing that can be gone on with. */
  static async kept(path: string): Promise<CutAnswer | null> {
    try {
      const kept = Kept.safeParse(JSON.parse(await readFile(`${path}.json`, "utf8"))).data;
      if (kept === undefined || kept.bytes === 0 || (await stat(path)).size < kept.bytes) return null;
      return kept;
    } catch (error) {
      if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw error;
    }
  }

  /** Nothing is kept any more. */
  static async drop(path: string): Promise<void> {
    await rm(`${path}.json`, { force: true });
    await rm(path, { force: true });
  }

  /** `origin` null: it cannot be gone on with later. */
  static async begin(
    path: string,
    origin: Omit<CutAnswer, "bytes"> | null,
    beforeStep: BeforeStep,
  ): Promise<BodyFile> {
    await BodyFile.drop(path);
    return new BodyFile(path, await open(path, "w", 0o600), beforeStep, origin, 0);
  }

  static async goOn(path: string, kept: CutAnswer, beforeStep: BeforeStep): Promise<BodyFile> {
    const file = await open(path, "r+");
    await file.truncate(kept.bytes);
    return new BodyFile(path, file, beforeStep, kept, kept.bytes);
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    for (let at = 0; at < chunk.byteLength;) {
      const { bytesWritten } = await this.#file.write(chunk, at, chunk.byteLength - at, this.#bytes);
      at += bytesWritten;
      this.#bytes += bytesWritten;
    }
    if (this.#bytes - this.#synced >= SYNC_EVERY_BYTES) await this.keep();
  }

  /** What came so far can be gone on with. */
  async keep(): Promise<void> {
    if (this.#origin === null) return;
    this.#beforeStep(`sync ${this.path}`);
    await this.#file.sync();
    this.#synced = this.#bytes;
    const { url, validator } = this.#origin;
    await writeFile(`${this.path}.json.new`, JSON.stringify({ url, validator, bytes: this.#bytes }));
    await settle(`${this.path}.json.new`, `${this.path}.json`, this.#beforeStep);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
