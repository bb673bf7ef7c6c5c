/**
 * A session: one instrument's proof, and the attack of one canary by both actors.
 *
 * Invariants: every attempt comes back with a finding, whatever became of the adversary.
 */
import type {
  CanaryReply,
  ContainmentLayer,
  InstallationLayout,
  Settings,
  WardenState,
} from "@bulkhead/schema";
import type { Attempt } from "../attempt.ts";
import { attack, type Finding } from "./attack.ts";
import { placeOf } from "./place.ts";
import { makeStand } from "./stand.ts";
import type { WardenClient } from "./warden-client.ts";

/** What one instrument's canary offers to the code that makes attempts. */
export interface Session {
  readonly instrument: string;
  readonly warden: WardenClient;
  readonly layout: InstallationLayout;
  readonly settings: Pick<Settings, "uid" | "gid">;
  readonly attempts: readonly Attempt[];
  /** As accepted: the canary's rights on the bus follow from it. */
  readonly site: WardenState["site"];
  readonly onProgress: (words: string) => void;
}

/** Both actors, one after the other, in one canary. */
export async function attackCanary(
  session: Session,
  canary: CanaryReply,
  without: readonly ContainmentLayer[],
): Promise<readonly Finding[]> {
  const { warden, attempts, onProgress, instrument } = session;
  await using stand = await makeStand(session, canary, without);
  const { relay } = stand;
  const findings: Finding[] = [];
  const place = placeOf(canary);
  for (const { actor, own } of batches(attempts)) {
    onProgress(
      `${instrument}: ${own.length} attempts as ${actor === "root" ? "the container's root" : "its user"}`,
    );
    // Its failure shows in the answers that do not come: nobody is waited for then.
    const failed = new AbortController();
    const running = warden.attack(actor).catch((error: unknown) => {
      onProgress(`the adversary: ${String(error)}`);
      failed.abort();
    });
    const adversary = await relay.adversary(actor === "root" ? 0 : 1000, 60_000, failed.signal);
    const { params, counters } = stand;
    findings.push(...(await attack({ adversary, attempts: own, place, params, counters })));
    if (adversary !== null) await relay.gone(15_000);
    await Promise.race([running, new Promise((resolve) => setTimeout(resolve, 15_000))]);
  }
  return findings;
}

/** What many attempts leave in an adversary's memory must not be what it is killed for. */
const MOST_ATTEMPTS = 45;

/**
 * Few adversaries for each actor: starting one costs seconds where the processor's allowance is small. An attempt that
 * may kill it comes last, and alone. Pure.
 */
export function batches(
  attempts: readonly Attempt[],
): readonly { readonly actor: Attempt["actor"]; readonly own: readonly Attempt[] }[] {
  return (["root", "user"] as const)
    .flatMap((actor) => {
      const own = attempts.filter((one) => one.actor === actor);
      const deadly = own.filter(({ mayKill }) => mayKill === true);
      const others = own.filter(({ mayKill }) => mayKill !== true);
      const starts = Array.from(
        { length: Math.ceil(others.length / MOST_ATTEMPTS) },
        (_, n) => n * MOST_ATTEMPTS,
      );
      return [
        ...starts.map((start) => others.slice(start, start + MOST_ATTEMPTS)),
        ...deadly.map((one) => [one]),
      ].map((batch) => ({ actor, own: batch }));
    })
    .filter(({ own }) => own.length > 0);
}
