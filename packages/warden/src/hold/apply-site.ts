/**
 * Apply a staged site: check, plan, take every step, then put it in force. When a step fails the
 * former site stays in force; the caller's next pass brings the host back to it. What cannot be
 * undone (destroying data) is left to the pass after the new site is in force.
 */
import { checkedSite, planSite, siteFilters } from "@bulkhead/core";
import type { ApplyOutcome, Step } from "@bulkhead/schema";
import type { StoredSite } from "../site/site-store.ts";
import type { StepFailure } from "./execute.ts";
import { type HolderParts, type Host, SITE_FILE, type StepContext } from "./ports.ts";

/**
 * An instrument that ends by itself does so a moment before or after its start was seen: either way
 * the site is in force, and the instrument is started again with back-off.
 */
const ENDED: readonly string[] = ["instrument-ended", "instrument-not-running", "datapath-instrument-gone"];

type Take = (step: Step, context: StepContext) => Promise<StepFailure | null>;

export async function applySite(staged: StoredSite, parts: HolderParts, take: Take): Promise<ApplyOutcome> {
  const { host, sites, accepted, state } = parts;
  const catalogue = await parts.readCatalogue();
  const context = { siteDir: staged.dir };
  const reading = { text: staged.text, file: SITE_FILE, catalogue, accepted: {}, files: staged.files };
  const checked = checkedSite(reading);
  if ("faults" in checked) return { outcome: "faults", faults: [...checked.faults] };
  const plan = planSite({
    ...reading,
    rejectedFilters: await rejectedFilters(siteFilters(staged.text, SITE_FILE), host),
    observed: await host.observe(checked.desired),
    stopped: state.stopped,
    held: [],
  });
  if (plan.faults.length > 0) return { outcome: "faults", faults: plan.faults };

  const taken: Step[] = [];
  const ended = new Set<string>();
  for (const step of plan.steps.filter((s) => s.kind !== "volume.remove" && s.kind !== "image.remove")) {
    if ("instrument" in step && ended.has(step.instrument)) continue;
    const failure = await take(step, context);
    if (failure !== null && "instrument" in step && ENDED.includes(failure.code)) {
      ended.add(step.instrument);
      await state.recordEnd(step.instrument, parts.nowMs(), failure.message);
      continue;
    }
    if (failure !== null) {
      await unmakeVolumes(taken, take, context);
      return { outcome: "failed", step, code: failure.code, message: failure.message };
    }
    taken.push(step);
  }
  await sites.accept(staged);
  await accepted.write(Object.fromEntries(checked.instruments.map((i) => [i.name, i.package])));
  await state.keepOnly(checked.instruments.map((i) => i.name));
  return { outcome: "applied", version: staged.version, plan };
}

/** What the compiler has against these expressions; those that it takes are left out. */
export async function rejectedFilters(
  expressions: readonly string[],
  host: Host,
): Promise<Record<string, string>> {
  const rejected: Record<string, string> = {};
  for (const expression of expressions) {
    const objection = await host.rejectFilter(expression);
    if (objection !== null) rejected[expression] = objection;
  }
  return rejected;
}

/** Volumes that a failed apply made hold nothing yet; all else goes when the former site is held again. */
async function unmakeVolumes(taken: readonly Step[], take: Take, context: StepContext): Promise<void> {
  for (const step of taken) {
    if (step.kind !== "volume.create") continue;
    const { instrument, id, target } = step;
    const undo = { target, why: "the apply that made it failed", instrument };
    await take({ kind: "instrument.remove", ...undo }, context);
    await take({ kind: "volume.remove", ...undo, id }, context);
  }
}
