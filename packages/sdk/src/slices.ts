/**
 * Slices of a volume: a directory for the records of each span of time, so that what is past its period can be ended
 * without a look at the records.
 *
 * Where the site has the volume cut, the platform makes the slices and destroys them with their keys; where it has
 * not, they are made here, and a tool writes in one way. A directory may go at any moment: who writes opens, writes
 * and closes, and takes its end for what it is. Files that stay open over it cost the instrument its run.
 */
import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { parseSlice, sliceAt, SliceName, sliceName } from "@bulkhead/schema";

export interface Slice {
  readonly slice: SliceName;
  readonly dir: string;
  readonly startMs: number;
  /** Not part of it; what was asked of it until then stays so. */
  readonly endMs: number;
}

/** Where a record of some time belongs, or why nowhere. */
export type SlicePlace =
  | { readonly outcome: "slice"; readonly place: Slice }
  /** Nothing is kept of that time: it is past its period, or from before there was anything. */
  | { readonly outcome: "past" }
  /** The platform has made none for it yet: a clock that differs, or a vault that is locked. */
  | { readonly outcome: "ahead" };

export interface SlicesOptions {
  /** Of those that are made here; whole seconds. */
  readonly lengthMs: number;
}

export class Slices {
  readonly #dir: string;
  readonly #lengthMs: number;
  /** Whether the platform makes and ends them. */
  readonly cut: boolean;

  constructor(dir: string, cut: boolean, { lengthMs }: SlicesOptions) {
    this.#dir = dir;
    this.cut = cut;
    this.#lengthMs = lengthMs;
  }

  /** A directory that is not our own is cut by the platform. */
  static async open(dir: string, options: SlicesOptions): Promise<Slices> {
    return new Slices(dir, (await stat(dir)).uid !== process.geteuid?.(), options);
  }

  /** The oldest first. */
  async list(): Promise<readonly Slice[]> {
    const names = await readdir(this.#dir);
    return names.toSorted().flatMap((name) => {
      const times = parseSlice(name);
      return times === null ? [] : [{ slice: name, dir: join(this.#dir, name), ...times }];
    });
  }

  async placeOf(time: Date): Promise<SlicePlace> {
    const atMs = time.getTime();
    const slices = await this.list();
    const holding = slices.filter(({ startMs, endMs }) => startMs <= atMs && atMs < endMs);
    // Lengths may have changed: of two that hold it, the one that ends first is forgotten first.
    const place = holding.toSorted((a, b) => a.endMs - b.endMs)[0];
    if (place !== undefined) return { outcome: "slice", place };
    if (!this.cut) return { outcome: "slice", place: await this.#make(atMs) };
    return { outcome: slices.some(({ startMs }) => startMs > atMs) ? "past" : "ahead" };
  }

  /** Removes a slice that nothing is in any more, where it was made here; the platform's own it ends itself. */
  async drop({ dir }: Slice): Promise<void> {
    if (!this.cut) await rm(dir, { recursive: true, force: true });
  }

  async #make(atMs: number): Promise<Slice> {
    const times = sliceAt(atMs, this.#lengthMs);
    const slice = SliceName.parse(sliceName(times));
    const dir = join(this.#dir, slice);
    await mkdir(dir, { recursive: true });
    return { slice, dir, ...times };
  }
}
