/**
 * Plan of a site: text → faults, or what is asked, granted, missing and unused, where data can
 * flow, and the steps from what was observed. Pure: the same input gives the same plan.
 */
import type { Catalogue, Fault, FaultCode, Name, Observed, Plan, Site, SiteFile } from "@bulkhead/schema";
import { siteFileNames } from "./check-config.ts";
import { checkSite } from "./check-site.ts";
import { type Desired, desiredOf } from "./desired.ts";
import { checkFlows } from "./flows.ts";
import type { LocatedDocument } from "./located-document.ts";
import { reportNeeds } from "./needs.ts";
import { parseSite } from "./parse.ts";
import { resolveInstruments, type ResolvedInstrument } from "./resolve.ts";
import { planSteps } from "./steps.ts";
import { waitingOf } from "./waiting.ts";

export interface PlanInput {
  readonly text: string;
  /** What to call the site in faults and grants. */
  readonly file: string;
  readonly catalogue: Catalogue;
  /** What was accepted before, by instrument; empty where the operator accepts the catalogue's now. */
  readonly accepted: Catalogue;
  readonly files: readonly SiteFile[];
  readonly rejectedFilters: Readonly<Record<string, string>>;
  readonly observed: Observed;
  readonly stopped: readonly Name[];
  readonly held: readonly Name[];
}

/** A site that holds: parsed, checked, resolved. */
export interface CheckedSite {
  readonly site: Site;
  readonly document: LocatedDocument;
  readonly instruments: readonly ResolvedInstrument[];
  readonly desired: Desired;
}

export function planSite(input: PlanInput): Plan {
  const parsed = parseSite(input.text, input.file);
  if (!parsed.ok) {
    const { rest } = parsed;
    const further = rest === null ? NO_FAULTS : checkParsed(rest.value, rest.document, input);
    // Where whole entries are gone, a reference to one of them is no fault of its own.
    const sound = further.faults.filter((f) => rest?.incomplete !== true || !REFERENCES.includes(f.code));
    return { ...refused([...parsed.faults, ...sound], further.files), flows: [...further.flows] };
  }
  const { value: site, document } = parsed;
  const { faults, files, flows, unused, instruments } = checkParsed(site, document, input);
  if (faults.length > 0) return { ...refused(faults, files), flows: [...flows] };

  const desired = desiredOf(site, instruments, input.files);
  const needs = reportNeeds(site, document, instruments);
  return {
    faults: [],
    asked: [...needs.asked],
    granted: [...needs.granted],
    missing: [...needs.missing],
    pending: [...waitingOf(desired, input.observed), ...widerRequests(instruments)],
    unused: [...needs.unused, ...unused],
    flows: [...flows],
    steps: [...planSteps({ desired, observed: input.observed, stopped: input.stopped, held: input.held })],
    files: [...files],
  };
}

interface Check {
  readonly faults: readonly Fault[];
  readonly files: readonly string[];
  readonly flows: Plan["flows"];
  readonly unused: readonly string[];
  readonly instruments: readonly ResolvedInstrument[];
}

const NO_FAULTS: Check = { faults: [], files: [], flows: [], unused: [], instruments: [] };
const REFERENCES: readonly FaultCode[] = ["unknown-instrument", "unknown-interface"];

/** Everything that a schema cannot say. */
function checkParsed(site: Site, document: LocatedDocument, input: PlanInput): Check {
  const instruments = resolveInstruments(site, input.catalogue, input.accepted);
  const flows = checkFlows(site, document, instruments);
  const faults = checkSite({
    site,
    document,
    catalogue: input.catalogue,
    files: input.files,
    rejectedFilters: input.rejectedFilters,
    claimedDevices: input.observed.claimedDevices,
    volumes: input.observed.volumes,
  });
  return {
    faults: [...faults, ...flows.faults],
    files: namedFiles(instruments),
    flows: [...flows.paths],
    unused: flows.unused,
    instruments,
  };
}

/** The same reading of a site, for those who act on an accepted one. */
export function checkedSite(
  input: Omit<PlanInput, "observed" | "stopped" | "held" | "rejectedFilters">,
): CheckedSite | { readonly faults: readonly Fault[] } {
  const parsed = parseSite(input.text, input.file);
  if (!parsed.ok) return { faults: parsed.faults };
  const { value: site, document } = parsed;
  const instruments = resolveInstruments(site, input.catalogue, input.accepted);
  return { site, document, instruments, desired: desiredOf(site, instruments, input.files) };
}

/** Filter expressions of a site, for the compiler to look at before the plan. */
export function siteFilters(text: string, file: string): readonly string[] {
  const parsed = parseSite(text, file);
  const site = parsed.ok ? parsed.value : parsed.rest?.value;
  const filters = Object.values(site?.instruments ?? {}).flatMap((i) =>
    i.tap === undefined ? [] : [i.tap.filter],
  );
  return [...new Set(filters)].filter((filter) => filter !== "");
}

function namedFiles(instruments: readonly ResolvedInstrument[]): readonly string[] {
  return [...new Set(instruments.flatMap((i) => siteFileNames(i.site.config ?? {}, i.package.configSchema)))];
}

function widerRequests(instruments: readonly ResolvedInstrument[]): Plan["pending"] {
  return instruments.flatMap(({ name, wider }) =>
    wider.map((what) => ({ instrument: name, what: `its newer version asks for ${what}` })),
  );
}

function refused(faults: readonly Fault[], files: readonly string[]): Plan {
  return {
    faults: [...faults],
    asked: [],
    granted: [],
    missing: [],
    pending: [],
    unused: [],
    flows: [],
    steps: [],
    files: [...files],
  };
}
