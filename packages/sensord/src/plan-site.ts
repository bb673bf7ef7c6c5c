/**
 * Plans a site that somebody shows us, against the host as warden last saw it. It changes nothing
 * and keeps nothing.
 */
import { planSite, siteFilters } from "@bulkhead/core";
import type { Name, Plan, PlanRequest, WardenState } from "@bulkhead/schema";
import { readCatalogue } from "./catalogue.ts";
import { SensordError } from "./error.ts";
import type { WardenClient } from "./warden-client.ts";

/** How long a plan waits for warden's first look at the host, which takes seconds where much is on it. */
export const FIRST_LOOK_MS = 20_000;

export interface PlanParts {
  readonly catalogueDir: string;
  /** warden has the filter compiler. */
  readonly warden: Pick<WardenClient, "rejectedFilters">;
  /** As last heard; null before the first look at the host. */
  readonly state: WardenState | null;
}

/**
 * Throws `catalogue-unreadable`; `warden-unreachable` while nothing is known of the host, for a plan against nothing
 * would miss what others hold; where the site has filters, what the warden client throws.
 */
export async function planShownSite(
  { file, text, files }: PlanRequest,
  { catalogueDir, warden, state }: PlanParts,
): Promise<Plan> {
  if (state === null) {
    throw new SensordError(
      "warden-unreachable",
      "warden has not looked at the host yet; try again in a moment",
    );
  }
  const { catalogue } = await readCatalogue(catalogueDir);
  const rejectedFilters = await warden.rejectedFilters(siteFilters(text, file));
  return planSite({
    file,
    text,
    files,
    catalogue,
    // Whoever applies a site accepts what its packages ask for now.
    accepted: {},
    rejectedFilters,
    observed: state.observed,
    stopped: state.stopped,
    held: heldOf(state),
  });
}

/** Instruments whose next start is not due yet. */
function heldOf(state: WardenState): readonly Name[] {
  return state.crashes.filter(({ nextStart }) => nextStart !== null).map(({ instrument }) => instrument);
}
