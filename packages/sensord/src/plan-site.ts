/**
 * Plans a site that somebody shows us, against the host as warden last saw it. It changes nothing
 * and keeps nothing.
 */
import { planSite, siteFilters } from "@bulkhead/core";
import { type Name, NOTHING_OBSERVED, type Plan, type PlanRequest, type WardenState } from "@bulkhead/schema";
import { readCatalogue } from "./catalogue.ts";
import type { WardenClient } from "./warden-client.ts";

export interface PlanParts {
  readonly catalogueDir: string;
  /** warden has the filter compiler. */
  readonly warden: Pick<WardenClient, "rejectedFilters">;
  /** As last heard. */
  readonly state: WardenState | null;
}

/** Throws `catalogue-unreadable`; where the site has filters, what the warden client throws. */
export async function planShownSite(
  { file, text, files }: PlanRequest,
  { catalogueDir, warden, state }: PlanParts,
): Promise<Plan> {
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
    observed: state?.observed ?? NOTHING_OBSERVED,
    stopped: state?.stopped ?? [],
    held: heldOf(state),
  });
}

/** Instruments whose next start is not due yet. */
function heldOf(state: WardenState | null): readonly Name[] {
  return (state?.crashes ?? [])
    .filter(({ nextStart }) => nextStart !== null)
    .map(({ instrument }) => instrument);
}
