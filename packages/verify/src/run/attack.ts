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
const KILLED = "killed";

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
    const finding = await attemptOnce(attempt, adversary, input);
    findings.push(finding);
    input.onFinding?.(finding);
    const goesOn = finding.observed !== NO_ANSWER && finding.observed !== KILLED;
    if (!goesOn || !((await adversary?.release(attempt.id, ATTEMPT_MS)) ?? false)) adversary = null;
  }
  adversary?.end();
  return findings;
}

async function attemptOnce(
  attempt: Attempt,
  adversary: Adversary | null,
  { place, params, counters }: Pick<Parameters<typeof attack>[0], "place" | "params" | "counters">,
): Promise<Finding> {
  try {
    const look = await prepareWitness(attempt.witness, place, counters);
    const deed = (await adversary?.run(attempt.id, params, ATTEMPT_MS)) ?? null;
    const witness = await look();
    if (deed !== null) return { attempt, observed: deed.answer, detail: deed.detail, witness };
    // Whoever was not there any more cannot have been killed by it.
    const observed = adversary === null ? NO_ANSWER : await withoutAnswer(attempt, place);
    return { attempt, observed, detail: "", witness };
  } catch (error) {
    // A witness that looks into a canary that has ended sees nothing; that is a finding, and the others still count.
    if (await isThere(place)) throw error;
    return { attempt, observed: NO_ANSWER, detail: "its canary was gone", witness: null };
  }
}

/** An adversary that the kernel may kill is gone alone: where the whole canary is gone nothing was shown. */
async function withoutAnswer(attempt: Attempt, place: Place): Promise<string> {
  if (attempt.mayKill !== true) return NO_ANSWER;
  return (await isThere(place)) ? KILLED : NO_ANSWER;
}

async function isThere({ pid }: Place): Promise<boolean> {
  return (await readIfThere(`/proc/${pid}/stat`)) !== null;
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
