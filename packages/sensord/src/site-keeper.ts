/**
 * Site keeper: follows the site that warden accepted and brings everything of sensord in line
 * with it: the bus, the configurations, the UI sockets, the ledger.
 *
 * Invariants: one change at a time, the newest state next; what fails is tried again and is said
 * in `problems`; a site that does not hold here changes nothing.
 */
import type { SensorStatus, WardenState } from "@bulkhead/schema";
import { describeError, type Log } from "./log.ts";
import { pause } from "./pause.ts";
import { readSite, type SiteView } from "./site-view.ts";

const RETRY_MS = 2000;

/** Something that is brought in line with each new view. Idempotent; may throw, and is then asked again. */
export interface SiteFollower {
  readonly name: string;
  follow(view: SiteView): Promise<void>;
}

export interface SiteKeeperOptions {
  readonly followers: readonly SiteFollower[];
  readonly state: () => WardenState | null;
  readonly log: Log;
}

type Problem = SensorStatus["problems"][number];

export class SiteKeeper implements AsyncDisposable {
  readonly #options: SiteKeeperOptions;
  readonly #stop = new AbortController();
  readonly #listeners = new Set<() => void>();
  #view: SiteView | null = null;
  /** The site that the view was read from: its text, files and packages. */
  #content = "";
  #problems: readonly Problem[] = [];
  #followed: ReadonlySet<string> = new Set();
  #wake = Promise.withResolvers<void>();
  #running: Promise<void> | null = null;

  constructor(options: SiteKeeperOptions) {
    this.#options = options;
  }

  get view(): SiteView | null {
    return this.#view;
  }

  get problems(): readonly Problem[] {
    return this.#problems;
  }

  start(): void {
    this.#running ??= this.#run(this.#stop.signal);
  }

  /** warden's state may have changed. */
  look(): void {
    this.#wake.resolve();
  }

  /** Called after each pass that followed a site. */
  onFollowed(listener: () => void): void {
    this.#listeners.add(listener);
  }

  /** Resolves when this version is in force here, or when `signal` is aborted. */
  async reached(version: string, signal: AbortSignal): Promise<void> {
    while (this.#view?.version !== version && !signal.aborted) {
      const changed = Promise.withResolvers<void>();
      const wake = (): void => changed.resolve();
      this.#listeners.add(wake);
      signal.addEventListener("abort", wake, { once: true });
      await changed.promise;
      this.#listeners.delete(wake);
      signal.removeEventListener("abort", wake);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    this.look();
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#wake = Promise.withResolvers();
      const done = await this.#pass();
      if (done) await this.#wake.promise;
      else await Promise.race([this.#wake.promise, pause(RETRY_MS, signal)]);
    }
  }

  /** False: something is to be tried again. */
  async #pass(): Promise<boolean> {
    const site = this.#options.state()?.site ?? null;
    if (site === null) return true;
    const content = JSON.stringify(site);
    if (content !== this.#content && !this.#read(site)) return false;
    this.#content = content;
    if (this.#view === null) return false;
    return await this.#follow(this.#view);
  }

  #read(site: NonNullable<WardenState["site"]>): boolean {
    const outcome = readSite(site);
    if (!outcome.ok) {
      const first = outcome.faults[0];
      const message = `${first?.file ?? ""}:${first?.line ?? 1}: ${first?.message ?? "does not hold"}`;
      this.#problems = [{ target: "site", code: "site-unreadable", message }];
      return false;
    }
    this.#problems = [];
    this.#view = outcome.view;
    this.#followed = new Set();
    this.#options.log.info("a site is followed", { version: site.version });
    return true;
  }

  /** Each follower on its own: one that fails holds up no other. */
  async #follow(view: SiteView): Promise<boolean> {
    const failed: Problem[] = [];
    for (const follower of this.#options.followers) {
      if (this.#followed.has(follower.name)) continue;
      try {
        await follower.follow(view);
        this.#followed = new Set([...this.#followed, follower.name]);
      } catch (error) {
        failed.push(problemOf(follower.name, error));
        this.#options.log.warn("the site is not followed yet", {
          part: follower.name,
          ...describeError(error),
        });
      }
    }
    const names = new Set(this.#options.followers.map((follower) => follower.name));
    this.#problems = [...this.#problems.filter(({ target }) => !names.has(target)), ...failed];
    for (const wake of this.#listeners) wake();
    return failed.length === 0;
  }
}

function problemOf(target: string, error: unknown): Problem {
  const fields = describeError(error);
  const { code, error: message } = fields;
  return {
    target,
    code: typeof code === "string" ? code : "unexpected-error",
    message: String(message),
  };
}
