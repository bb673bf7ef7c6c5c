/**
 * The proof of an installation: for each instrument a canary, an adversary in it as user and as root, and what came
 * of every attempt; where asked for, the controls that show that each attempt could have succeeded.
 *
 * Invariants: real instruments are read back and never touched; a canary never outlives the proof; no answer is a
 * failure. Root alone: warden's own socket takes these verbs from nobody else.
 */
import type { ContainmentLayer, InstallationLayout, Settings } from "@bulkhead/schema";
import { ATTEMPTS } from "../attempts/index.ts";
import { VerifyError } from "../error.ts";
import { type Finding, isStopped, lacking } from "./attack.ts";
import { hostFindings } from "./host-control.ts";
import { prove } from "./prove.ts";
import { attackCanary } from "./session.ts";
import { type Proof, proofOf, type Result } from "./result.ts";
import { readBackResults } from "./read-back.ts";
import { type WardenClient, wardenClient } from "./warden-client.ts";

export interface VerifyOptions {
  readonly layout: InstallationLayout;
  readonly settings: Pick<Settings, "uid" | "gid">;
  /** Names of instruments; all where empty. */
  readonly instruments: readonly string[];
  /** Layers to leave out of every canary: the proof is then red, or worth nothing. */
  readonly without: readonly ContainmentLayer[];
  /** Take the answers of the host's own root in place of the canary's: the control of what no canary can show. */
  readonly asHostRoot: boolean;
  readonly prove: boolean;
  /** Ids of attempts; all where left out. */
  readonly only?: readonly string[] | undefined;
  readonly onProgress: (words: string) => void;
}

/** @throws VerifyError */
export async function verify(options: VerifyOptions): Promise<Proof> {
  const { layout, onProgress } = options;
  const warden = wardenClient(layout.rootSocket);
  const found = await warden.readBack();
  const names =
    options.instruments.length === 0 ? found.map(({ name }) => name).toSorted() : options.instruments;
  const unknown = names.find((name) => !found.some((one) => one.name === name));
  if (unknown !== undefined) {
    throw new VerifyError("verify-instrument-unknown", `${unknown}: there is no such instrument`, {
      advice: `there are: ${found.map(({ name }) => name).join(", ") || "none; apply a site first"}`,
    });
  }
  const results: Result[] = [];
  const byHostRoot = new Map<string, Finding>();
  for (const name of names) {
    onProgress(`${name}: making its canary`);
    results.push(...(await verifyOne(name, warden, options, byHostRoot)));
  }
  return proofOf(names, results, options.prove);
}

async function verifyOne(
  instrument: string,
  warden: WardenClient,
  options: VerifyOptions,
  byHostRoot: Map<string, Finding>,
): Promise<readonly Result[]> {
  const { layout, settings, without, onProgress } = options;
  await using undo = new AsyncDisposableStack();
  const before = await warden.readBack();
  undo.defer(() => warden.removeCanary());
  const canary = await warden.createCanary({ instrument, without: [...without] });
  const { spec } = canary;
  const chosen = ATTEMPTS.filter(
    ({ id, applies }) => (options.only?.includes(id) ?? true) && (applies?.(spec) ?? true),
  );
  const { site } = await warden.state();
  const session = { site, instrument, warden, layout, settings, attempts: chosen, onProgress };
  const findings = await attackCanary(session, canary, without);
  const onHost = await hostFindings(session, canary, byHostRoot);
  const shown = options.asHostRoot ? findings.map((one) => onHost.get(one.attempt.id) ?? one) : findings;
  const results = [
    ...readBackResults({
      instrument,
      before,
      after: await warden.readBack(),
      canary,
      whole: without.length === 0,
    }),
    ...shown.map((one) => resultOf(instrument, one, options.asHostRoot ? new Map() : onHost)),
  ];
  if (!options.prove) return results;
  const proven = await prove(session, onHost);
  return results.map((result) => ({ ...result, controls: [...(proven.get(result.attempt) ?? [])] }));
}

function resultOf(instrument: string, finding: Finding, onHost: ReadonlyMap<string, Finding>): Result {
  const { attempt, observed, detail, witness } = finding;
  const host = onHost.get(attempt.id);
  // What the host's own root cannot do either is not there to be protected from.
  const absent = host !== undefined && lacking(host) && isStopped(finding);
  return {
    instrument,
    attempt: attempt.id,
    group: attempt.group,
    means: attempt.means,
    actor: attempt.actor,
    expected: [...attempt.expected],
    observed: detail === "" ? observed : `${observed}: ${detail}`,
    witness,
    unseen: attempt.witness.kind === "answer" ? attempt.witness.why : null,
    status: absent ? "absent" : isStopped(finding) ? "passed" : "failed",
    layers: [...attempt.layers],
    controls: [],
  };
}
