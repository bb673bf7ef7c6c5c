/**
 * Downloader: the sources of the settings, each with its runner, and the bundles that lie beside the site.
 *
 * Invariants: a source whose settings did not change goes on undisturbed by a new configuration; of a source that is
 * named no more nothing stays. It knows nothing of the bus.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { importBundle, type ImportedFile } from "./bundle-import.ts";
import { asProblem } from "./run-source.ts";
import type { Settings, Source } from "./settings.ts";
import { type RunnerParts, SourceRunner, type SourceStatus } from "./source-runner.ts";
import { SourceStore } from "./source-store.ts";
import { Slots } from "./slots.ts";

export interface DownloaderParts extends Omit<RunnerParts, "slots" | "deliverySlots"> {
  /** A directory on the persistent volume. */
  readonly dataDir: string;
  readonly onImport: (status: ImportStatus) => void;
}

export interface ImportStatus {
  readonly bundle: string;
  readonly at: string;
  /** Of the whole, which then took nothing; null where each file has its own outcome. */
  readonly problem: { readonly reason: string; readonly detail: string } | null;
  readonly files: readonly ImportedFile[];
}

export interface DownloaderStatus {
  readonly sources: readonly SourceStatus[];
  readonly imports: readonly ImportStatus[];
}

const MOST_RUNS = 4;

export class Downloader implements AsyncDisposable {
  readonly #parts: DownloaderParts;
  readonly #runnerParts: RunnerParts;
  readonly #sourcesDir: string;
  readonly #runners = new Map<string, SourceRunner>();
  #imports: readonly ImportStatus[] = [];
  #importing: Promise<void> = Promise.resolve();
  /** Counts configurations: an import of a former one does not go on. */
  #round = 0;

  constructor(parts: DownloaderParts) {
    this.#parts = parts;
    this.#runnerParts = { ...parts, slots: new Slots(MOST_RUNS), deliverySlots: new Slots(1) };
    this.#sourcesDir = join(parts.dataDir, "sources");
  }

  /** Imports go on after it returned. `inboxDir` holds the files that the settings name. */
  async apply({ sources, imports }: Settings, inboxDir: string | null): Promise<void> {
    this.#round += 1;
    const wanted = new Map(sources.map((source) => [source.name, source]));
    const changed = new Set<string>();
    for (const [name, runner] of this.#runners) {
      if (isDeepStrictEqual(wanted.get(name), runner.source)) continue;
      changed.add(name);
      this.#runners.delete(name);
      await runner[Symbol.asyncDispose]();
    }
    await mkdir(this.#sourcesDir, { recursive: true, mode: 0o700 });
    for (const name of await SourceStore.list(this.#sourcesDir)) {
      if (!wanted.has(name)) await SourceStore.remove(this.#sourcesDir, name);
    }
    for (const source of sources) {
      if (!this.#runners.has(source.name)) await this.#add(source, changed.has(source.name));
    }
    this.#imports = [];
    if (inboxDir !== null) {
      const round = this.#round;
      this.#importing = this.#importing.then(() => this.#importAll(imports, inboxDir, round));
    }
    this.#parts.onChange();
  }

  get status(): DownloaderStatus {
    return { sources: [...this.#runners.values()].map(({ status }) => status), imports: this.#imports };
  }

  /** @returns whether there is such a source */
  fetchNow(name: string): boolean {
    const runner = this.#runners.get(name);
    runner?.fetchNow();
    return runner !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#round += 1;
    await Promise.all([...this.#runners.values()].map((runner) => runner[Symbol.asyncDispose]()));
    await this.#importing;
  }

  async #add(source: Source, isChanged: boolean): Promise<void> {
    const store = await SourceStore.open(this.#sourcesDir, source.name);
    this.#runners.set(source.name, new SourceRunner(this.#runnerParts, source, store, isChanged));
  }

  async #importAll({ keys, bundles }: Settings["imports"], inboxDir: string, round: number): Promise<void> {
    for (const { bundle, signature } of bundles) {
      if (round !== this.#round) return;
      const status = { bundle, at: new Date(this.#parts.now()).toISOString(), problem: null, files: [] };
      const made = await importBundle({
        bundle: join(inboxDir, bundle),
        signature: join(inboxDir, signature),
        keys,
        workDir: join(this.#parts.dataDir, "import.work"),
        runners: this.#runners,
        now: this.#parts.now,
      }).then(
        (files): ImportStatus => ({ ...status, files }),
        (error: unknown): ImportStatus => {
          const { reason, message } = asProblem(error);
          return { ...status, problem: { reason, detail: message } };
        },
      );
      if (round !== this.#round) return;
      this.#imports = [...this.#imports, made];
      this.#parts.onImport(made);
      this.#parts.onChange();
    }
  }
}
