/**
 * Site view: what sensord needs of the site that warden accepted, read with the same core.
 *
 * Pure. warden has checked the site before it accepted it; a text that does not hold here (a
 * catalogue that was exchanged meanwhile, for instance) gives faults, and the former view stays.
 */
import { type CheckedSite, checkedSite, configCommandOf, type ResolvedInstrument } from "@bulkhead/core";
import type { Catalogue, ConfigCommand, Fault, Name, Role, SiteFile, WardenState } from "@bulkhead/schema";

const SITE_FILE = "site.yaml";

export interface SiteView {
  readonly version: string;
  readonly sensor: Name;
  readonly checked: CheckedSite;
  readonly files: readonly SiteFile[];
  /** What each enabled instrument shall be configured with. */
  readonly configs: ReadonlyMap<Name, ConfigCommand>;
  /** Roles that may open the UI of each instrument that was granted one. */
  readonly uiRoles: ReadonlyMap<Name, readonly Role[]>;
}

export type SiteReading =
  | { readonly ok: true; readonly view: SiteView }
  | { readonly ok: false; readonly faults: readonly Fault[] };

export function readSite(site: NonNullable<WardenState["site"]>, catalogue: Catalogue): SiteReading {
  const { version, text, files } = site;
  const checked = checkedSite({ text, file: SITE_FILE, catalogue, accepted: {}, files });
  if ("faults" in checked) return { ok: false, faults: checked.faults };
  const enabled = checked.instruments.filter((instrument) => instrument.site.enabled);
  return {
    ok: true,
    view: {
      version,
      sensor: checked.site.sensor,
      checked,
      files,
      configs: new Map(enabled.map((i) => [i.name, configCommandOf(i, files)])),
      uiRoles: new Map(enabled.flatMap((i) => uiRolesOf(checked, i))),
    },
  };
}

/** The instrument must ask for a UI and the site must grant it; anything else is no UI. */
function uiRolesOf(
  { site }: CheckedSite,
  { name, package: { manifest } }: ResolvedInstrument,
): readonly (readonly [Name, readonly Role[]])[] {
  const grant = site.fleet.ui[name];
  const asked = manifest.needs.some((need) => need.kind === "ui");
  return grant === undefined || grant === "deny" || !asked ? [] : [[name, grant.roles]];
}
