/**
 * Applies the site that root staged: warden does it; then the instruments whose configuration
 * changed are given time to say what they think of it.
 *
 * An instrument that has not answered in time is reported as pending, not as a failure: delivery
 * goes on.
 */
import type { ApplyReply, ApplyOutcome, Name } from "@bulkhead/schema";
import { ProblemError } from "./api/problem.ts";
import type { SensordErrorCode } from "./error.ts";
import type { ConfigDelivery } from "./config-delivery.ts";
import type { SiteKeeper } from "./site-keeper.ts";

const FOLLOW_TIMEOUT_MS = 20_000;
const ANSWER_TIMEOUT_MS = 20_000;

export interface ApplySiteParts {
  readonly warden: { apply(signal?: AbortSignal): Promise<ApplyOutcome> };
  readonly keeper: Pick<SiteKeeper, "reached">;
  readonly configs: Pick<ConfigDelivery, "versions" | "settled" | "state">;
  /** Instruments that somebody stopped by hand: they will not answer. */
  readonly stopped: () => readonly Name[];
}

/**
 * Throws the problem `site-faults` (422, with `faults`), or warden's own code (409) where a step
 * failed and was undone.
 */
export async function applySite(
  { warden, keeper, configs, stopped }: ApplySiteParts,
  signal: AbortSignal,
): Promise<ApplyReply> {
  const before = configs.versions();
  // Not the caller's signal: what warden began is not to be given up by a closed terminal.
  const outcome = await warden.apply();
  if (outcome.outcome === "faults") {
    throw new ProblemError("site-faults", "the site has faults; nothing was changed", {
      extra: { faults: outcome.faults },
    });
  }
  if (outcome.outcome === "failed") throw failure(outcome);
  await keeper.reached(outcome.version, within(FOLLOW_TIMEOUT_MS, signal));
  // What was refused before and is the same now is refused still, and is said again.
  const concerned = [...configs.versions()]
    .filter(([name, version]) => before.get(name) !== version || configs.state(name).outcome === "refused")
    .map(([instrument]) => instrument);
  const absent = new Set(stopped());
  const asked = concerned.filter((instrument) => !absent.has(instrument));
  await configs.settled(asked, within(ANSWER_TIMEOUT_MS, signal));
  return {
    version: outcome.version,
    steps: outcome.plan.steps.length,
    configs: concerned.map((instrument) => answerOf(instrument, configs)),
  };
}

function answerOf(instrument: Name, configs: Pick<ConfigDelivery, "state">): ApplyReply["configs"][number] {
  const { outcome, faults } = configs.state(instrument);
  return {
    instrument,
    outcome: outcome === "none" ? "pending" : outcome,
    faults: [...faults],
  };
}

function failure({ step, code, message }: Extract<ApplyOutcome, { outcome: "failed" }>): ProblemError {
  const place = step === null ? "" : `${step.kind} ${step.target}: `;
  return new ProblemError(
    // warden's own code, passed on as it is: it stands in docs/errors.md like ours.
    /^[a-z0-9]+(-[a-z0-9]+)+$/.test(code) ? (code as SensordErrorCode) : "apply-failed",
    `${place}${message}`,
    { status: 409, extra: { step } },
  );
}

function within(timeoutMs: number, signal: AbortSignal): AbortSignal {
  return AbortSignal.any([AbortSignal.timeout(timeoutMs), signal]);
}
