/**
 * What the platform itself finds: the real instrument against its profile, before and after the attack, and the canary
 * against the real instrument. Pure.
 */
import type { CanaryReply, ObservedInstrument } from "@bulkhead/schema";
import type { Result } from "./result.ts";

const AS_PLANNED = "as planned";

export function readBackResults(input: {
  readonly instrument: string;
  readonly before: readonly ObservedInstrument[];
  readonly after: readonly ObservedInstrument[];
  readonly canary: CanaryReply;
  /** No layer was left out of the canary. */
  readonly whole: boolean;
}): readonly Result[] {
  const { instrument, before, after, canary, whole } = input;
  const drift = [before, after].flatMap((found) => {
    const real = found.find(({ name }) => name === instrument);
    return real === undefined ? ["its container is gone"] : real.deviations;
  });
  return [
    result(instrument, {
      attempt: "instrument-as-planned",
      means:
        "The real instrument's container is what its profile says, by the runtime's and the kernel's word.",
      faults: [...new Set(drift)],
    }),
    result(instrument, {
      attempt: "canary-is-twin",
      means:
        "The canary differs from the real instrument in what has to differ alone: name, ids, command, its own places.",
      faults: [...canary.differences, ...(whole ? canary.deviations : [])],
    }),
    result(instrument, {
      attempt: "image-without-templates",
      means: "The container runtime, which is root, writes no file into the container by the image's word.",
      faults: canary.templates.map((name) => `the image has a template of ${name}`),
    }),
  ];
}

function result(
  instrument: string,
  {
    attempt,
    means,
    faults,
  }: { readonly attempt: string; readonly means: string; readonly faults: readonly string[] },
): Result {
  return {
    instrument,
    attempt,
    group: "identity",
    means,
    actor: "platform",
    expected: [AS_PLANNED],
    observed: faults.join("; ") || AS_PLANNED,
    witness: null,
    unseen: null,
    status: faults.length === 0 ? "passed" : "failed",
    layers: [],
    controls: [],
  };
}
