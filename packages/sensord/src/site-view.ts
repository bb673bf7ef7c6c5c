/**
 * Site view: what sensord needs of the site that warden accepted, read with the same core.
 *
 * Pure. warden has checked the site before it accepted it, and says which package each instrument
 * runs; a text that does not hold here gives faults, and the former view stays.
 */
import {
  type CheckedSite,
  checkedSite,
  configCommandOf,
  parsePackage,
  type ResolvedInstrument,
} from "@bulkhead/core";
import type {
  CataloguePackage,
  ConfigCommand,
  Fault,
  Name,
  Role,
  SiteFile,
  WardenState,
} from "@bulkhead/schema";

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

export function readSite(site: NonNullable<WardenState["site"]>): SiteReading {
  const { version, text, files } = site;
  const faults: Fault[] = [];
  const packages: Record<string, CataloguePackage> = {};
  for (const [name, texts] of Object.entries(site.packages)) {
    const parsed = parsePackage(texts);
    if (parsed.ok) packages[name] = parsed.value;
    else faults.push(...parsed.faults);
  }
  if (faults.length > 0) return { ok: false, faults };
  // What runs is warden's to say: the catalogue may offer something newer that waits.
  const checked = checkedSite({ text, file: SITE_FILE, catalogue: {}, accepted: packages, files });
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
