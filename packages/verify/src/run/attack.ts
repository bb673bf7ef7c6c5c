/**
 * An attack: one adversary makes its attempts one after another, and the witness looks at each while it is held.
 *
 * Invariants: an attempt that got no readable answer in time is failed, never passed; the adversary is a liar until the
 * witness agrees.
 */
import type { Attempt, Params } from "../attempt.ts";
import { readIfThere } from "./processes.ts";
import type { Adversary } from "./relay.ts";
import type { Place } from "./place.ts";
import { prepareWitness, type WitnessCounters } from "./witness.ts";

/** What came of one attempt, before anybody judged it. */
export interface Finding {
  readonly attempt: Attempt;
  /** `no answer` where the adversary was gone. */
  readonly observed: string;
  readonly detail: string;
  readonly witness: string | null;
}

const ATTEMPT_MS = 45_000;
const NO_ANSWER = "no answer";

export async function attack(input: {
  readonly adversary: Adversary | null;
  readonly attempts: readonly Attempt[];
  readonly place: Place;
  readonly params: Params;
  readonly counters: WitnessCounters;
  readonly onFinding?: (finding: Finding) => void;
}): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  let { adversary } = input;
  for (const attempt of input.attempts) {
    const look = await prepareWitness(attempt.witness, input.place, input.counters);
    const deed = (await adversary?.run(attempt.id, input.params, ATTEMPT_MS)) ?? null;
    const witness = await look();
    const finding: Finding =
      deed === null
        ? {
            attempt,
            // Whoever was not there any more cannot have been killed by it.
            observed: adversary === null ? NO_ANSWER : await withoutAnswer(attempt, input.place),
            detail: "",
            witness,
          }
        : { attempt, observed: deed.answer, detail: deed.detail, witness };
    findings.push(finding);
    input.onFinding?.(finding);
    if (deed === null || !((await adversary?.release(attempt.id, ATTEMPT_MS)) ?? false)) adversary = null;
  }
  adversary?.end();
  return findings;
}

/** An adversary that the kernel may kill is gone alone: where the whole canary is gone nothing was shown. */
async function withoutAnswer(attempt: Attempt, place: Place): Promise<string> {
  if (attempt.mayKill !== true) return NO_ANSWER;
  return (await readIfThere(`/proc/${place.pid}/stat`)) === null ? NO_ANSWER : "killed";
}

/** Stopped, by the answer and by the witness. */
export function isStopped({ attempt, observed, witness }: Finding): boolean {
  return attempt.expected.includes(observed) && witness === null;
}

/** Of a finding on the host: not even its own root can do it, because the kernel lacks it. */
export function lacking({ observed }: Finding): boolean {
  return observed !== "done" && observed !== NO_ANSWER;
}

/** Succeeded, and seen: what a control must show. */
export function isSuccess({ attempt, observed, witness }: Finding): boolean {
  const { witness: by } = attempt;
  const isUnseen = by.kind === "answer" || ("unshown" in by && by.unshown !== undefined);
  return observed === "done" && (isUnseen || witness !== null);
}
