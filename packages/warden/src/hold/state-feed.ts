/**
 * State feed: the latest WardenState, and those who want to hear of each change.
 */
import { NOTHING_OBSERVED, type WardenState } from "@bulkhead/schema";

type Content = Omit<WardenState, "revision">;

const NOTHING_YET: Content = {
  site: null,
  stopped: [],
  observed: NOTHING_OBSERVED,
  crashes: [],
  problems: [],
  lastSteps: [],
  pending: [],
  vault: { state: "locked", method: null, problem: null },
  erasures: [],
};

export class StateFeed {
  #current: WardenState = { revision: 0, ...NOTHING_YET };
  readonly #listeners = new Set<(state: WardenState) => void>();

  get current(): WardenState {
    return this.#current;
  }

  /** Tells the listeners, unless nothing changed. */
  publish(content: Content): void {
    const { revision, ...former } = this.#current;
    if (revision > 0 && JSON.stringify(former) === JSON.stringify(content)) return;
    this.#current = { revision: revision + 1, ...content };
    for (const listener of this.#listeners) listener(this.#current);
  }

  /** The host could not be looked at: what was known stays, and this is said. */
  publishProblem(problem: WardenState["problems"][number]): void {
    const { revision: _, ...content } = this.#current;
    this.publish({ ...content, problems: [problem] });
  }

  /** Returns how to stop listening. */
  listen(listener: (state: WardenState) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
