/**
 * Execute a plan's steps through the host's executors. It decides nothing: a step that is not in
 * the plan is not taken, and after a failure the caller observes again.
 */
import type { Step } from "@bulkhead/schema";
import { unwound } from "../unwound.ts";
import type { Executors, StepContext } from "./ports.ts";

export interface StepFailure {
  readonly step: Step;
  readonly code: string;
  readonly message: string;
}

/** Takes one step; a failure comes back as a value, with the code of what failed. */
export async function executeStep(
  step: Step,
  executors: Executors,
  context: StepContext,
): Promise<StepFailure | null> {
  // The mapped type pairs each kind with its own executor; the index by a union loses that pairing.
  const execute = executors[step.kind] as (step: Step, context: StepContext) => Promise<void>;
  try {
    await execute(step, context);
    return null;
  } catch (error) {
    const { code, message } = unwound(error);
    return { step, code: code ?? "step-failed", message };
  }
}

/**
 * Takes all steps that can be taken. When one fails, later steps for the same target are left out
 * and the others go on: one instrument's trouble is its own.
 */
export async function executeAll(
  steps: readonly Step[],
  executors: Executors,
  context: StepContext,
  onStep: (step: Step, failure: StepFailure | null) => Promise<void>,
): Promise<readonly StepFailure[]> {
  const failures: StepFailure[] = [];
  for (const step of steps) {
    if (failures.some((failure) => dependsOn(step, failure.step))) continue;
    const failure = await executeStep(step, executors, context);
    if (failure !== null) failures.push(failure);
    await onStep(step, failure);
  }
  return failures;
}

function dependsOn(step: Step, failed: Step): boolean {
  if (step.target === failed.target) return true;
  const uses = [
    "engine" in step ? step.engine : null,
    "instrument" in step ? step.instrument : null,
    step.kind === "instrument.create" ? step.spec.package : null,
  ];
  const broken =
    "instrument" in failed ? failed.instrument : "engine" in failed ? failed.engine : failed.target;
  return uses.includes(broken);
}
