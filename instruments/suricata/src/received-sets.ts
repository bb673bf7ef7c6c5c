/**
 * Received sets: the rule sets that a rule manager delivered, by name and version, and a short wait for
 * one that is asked for before the platform has told of it.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { RulesetRequest } from "@bulkhead/schema";
import type { ReceivedResource } from "@bulkhead/sdk";

/** Of one name: the platform keeps two. */
const MOST_VERSIONS = 4;
const POLL_MS = 100;

export class ReceivedSets {
  readonly #byName = new Map<string, readonly ReceivedResource[]>();

  take(resource: ReceivedResource): void {
    const known = (this.#byName.get(resource.name) ?? []).filter(
      ({ version }) => version !== resource.version,
    );
    this.#byName.set(resource.name, [...known, resource].slice(-MOST_VERSIONS));
  }

  /** Null where it does not come within `withinMs`, or is of somebody else. */
  async find(request: RulesetRequest, from: string, withinMs: number): Promise<ReceivedResource | null> {
    const giveUpAt = performance.now() + withinMs;
    for (;;) {
      const found = this.#byName
        .get(request.name)
        ?.find(
          (each) => each.version === request.version && each.sha256 === request.sha256 && each.from === from,
        );
      if (found !== undefined || performance.now() > giveUpAt) return found ?? null;
      await delay(POLL_MS);
    }
  }
}
