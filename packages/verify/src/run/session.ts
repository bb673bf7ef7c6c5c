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

/** Those that take what there is get an adversary of their own, who has not taken anything yet. */
function batches(
  attempts: readonly Attempt[],
): readonly { readonly actor: "user" | "root"; readonly own: readonly Attempt[] }[] {
  return (["root", "user"] as const)
    .flatMap((actor) =>
      (["others", "greedy", "killed"] as const).map((kind) => ({
        actor,
        own: attempts.filter((one) => one.actor === actor && kindOf(one) === kind),
      })),
    )
    .filter(({ own }) => own.length > 0);
}

function kindOf({ group, mayKill }: Attempt): "others" | "greedy" | "killed" {
  if (mayKill === true) return "killed";
  return group === "resources" ? "greedy" : "others";
}
