/**
 * Resolve: which package each instrument of a site runs: the catalogue's, unless it asks for more
 * than what was accepted for this instrument; then the accepted one goes on and the wider request
 * waits. A narrower request is taken at once.
 */
import type {
  Catalogue,
  CataloguePackage,
  Manifest,
  Name,
  Need,
  Site,
  SiteInstrument,
} from "@bulkhead/schema";

export interface ResolvedInstrument {
  readonly name: Name;
  readonly site: SiteInstrument;
  readonly package: CataloguePackage;
  /** What the newer package asks beyond what was accepted; empty where nothing waits. */
  readonly wider: readonly string[];
}

/** Instruments whose package neither the catalogue nor the past knows are left out; `checkSite` reports them. */
export function resolveInstruments(
  site: Site,
  catalogue: Catalogue,
  accepted: Catalogue,
): readonly ResolvedInstrument[] {
  return Object.entries(site.instruments).flatMap(([name, instrument]) => {
    const former = accepted[name]?.manifest.name === instrument.package ? accepted[name] : undefined;
    const offered = catalogue[instrument.package] ?? former;
    if (offered === undefined) return [];
    if (former === undefined || former.digest === offered.digest) {
      return [{ name, site: instrument, package: offered, wider: [] }];
    }
    const wider = widerRequests(former.manifest, offered.manifest);
    return [{ name, site: instrument, package: wider.length > 0 ? former : offered, wider }];
  });
}

/** What `next` asks that `former` did not, in words. */
export function widerRequests(former: Manifest, next: Manifest): readonly string[] {
  const more: string[] = [];
  for (const need of next.needs) {
    const before = former.needs.find((n) => n.id === need.id && n.kind === need.kind);
    if (before === undefined || !covers(before, need)) more.push(`${need.kind} ${need.id}`);
  }
  for (const capability of next.run.capabilities) {
    if (!former.run.capabilities.includes(capability)) more.push(`capability ${capability}`);
  }
  for (const key of ["memory", "cpu", "processes"] as const) {
    if (next.resources[key] > former.resources[key]) more.push(`resources.${key}`);
  }
  return more;
}

/** Whether what was accepted as `before` includes all that `next` asks for. */
function covers(before: Need, next: Need): boolean {
  const asked: Readonly<Record<string, unknown>> = next;
  const had: Readonly<Record<string, unknown>> = before;
  return Object.entries(asked).every(([key, value]) => {
    // That it can write by slice is no request: the site decides whether it has to.
    if (key === "why" || key === "title" || key === "slices") return true;
    const other = had[key];
    if (typeof value === "number" && typeof other === "number") return value <= other;
    // A list of hosts that is empty stands for all that the site names.
    if (key === "hosts" && Array.isArray(value) && Array.isArray(other)) {
      if (value.length === 0 || other.length === 0) return other.length === 0;
    }
    if (Array.isArray(value) && Array.isArray(other)) return value.every((item) => other.includes(item));
    return JSON.stringify(value) === JSON.stringify(other);
  });
}
