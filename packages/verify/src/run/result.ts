/** What a proof says, as JSON: the shape is stable, and `ok` is what the exit code follows. */
import * as z from "zod";
import { GROUPS } from "../attempt.ts";

export const Result = z.strictObject({
  instrument: z.string(),
  attempt: z.string(),
  group: z.enum(GROUPS),
  /** In plain words. */
  means: z.string(),
  actor: z.enum(["user", "root", "platform"]),
  expected: z.array(z.string()),
  /** The kernel's answer, as the adversary reported it. */
  observed: z.string(),
  /** What the host's side saw; null where it saw nothing. */
  witness: z.string().nullable(),
  /** Why nobody outside could see it if it succeeded; null where somebody could. */
  unseen: z.string().nullable(),
  status: z.enum(["passed", "failed", "absent"]),
  /** Layers that cover it. */
  layers: z.array(z.string()),
  /** Controls that were run for it. */
  controls: z.array(
    z.strictObject({
      control: z.string(),
      caught: z.boolean(),
      observed: z.string(),
      witness: z.string().nullable(),
    }),
  ),
});
export type Result = z.infer<typeof Result>;

export const Proof = z.strictObject({
  ok: z.boolean(),
  instruments: z.array(
    z.strictObject({ name: z.string(), passed: z.int(), failed: z.int(), absent: z.int() }),
  ),
  /** The sum over instruments. */
  attempts: z.int(),
  results: z.array(Result),
  /** Null unless controls were run. */
  controls: z.strictObject({ total: z.int(), caught: z.int() }).nullable(),
});
export type Proof = z.infer<typeof Proof>;

/** What `verify --json` prints: a proof without what only people read, which is in the report. */
export const ProofJson = Proof.extend({
  results: z.array(Result.omit({ means: true, actor: true, unseen: true, layers: true })),
});
export type ProofJson = z.infer<typeof ProofJson>;

export function proofJson(proof: Proof): ProofJson {
  const results = proof.results.map(
    ({ instrument, attempt, group, expected, observed, witness, status, controls }) => ({
      ...{ instrument, attempt, group, expected, observed, witness, status, controls },
    }),
  );
  return { ...proof, results };
}

export function proofOf(names: readonly string[], results: readonly Result[], proved: boolean): Proof {
  const instruments = names.map((name) => {
    const own = results.filter(({ instrument }) => instrument === name);
    const count = (status: Result["status"]) => own.filter((one) => one.status === status).length;
    return { name, passed: count("passed"), failed: count("failed"), absent: count("absent") };
  });
  const controls = results.flatMap((one) => one.controls);
  const caught = controls.filter((one) => one.caught).length;
  const silent = instruments.some(({ passed, failed }) => passed + failed === 0);
  return {
    ok: !silent && instruments.every(({ failed }) => failed === 0) && (!proved || caught === controls.length),
    instruments,
    attempts: results.length,
    results: [...results],
    controls: proved ? { total: controls.length, caught } : null,
  };
}
