/**
 * Desired: what shall be on the host, decided from the site and the packages alone.
 */
import type { InstrumentNetwork, InstrumentSpec, Name, Site, SiteFile } from "@bulkhead/schema";
import { digestOf } from "./canonical.ts";
import { siteFileNames } from "./check-config.ts";
import type { ResolvedInstrument } from "./resolve.ts";

export interface DesiredTap {
  readonly instrument: Name;
  readonly engine: Name;
  readonly interface: Name;
  readonly filter: string;
}

export interface DesiredInstrument {
  readonly name: Name;
  readonly spec: InstrumentSpec;
  readonly specDigest: string;
  readonly enabled: boolean;
  readonly files: { readonly version: string; readonly files: readonly SiteFile[] } | null;
}

export interface Desired {
  readonly instruments: readonly DesiredInstrument[];
  readonly spans: readonly {
    readonly engine: Name;
    readonly interface: Name;
    readonly device: string;
  }[];
  readonly taps: readonly DesiredTap[];
}

export function desiredOf(
  site: Site,
  instruments: readonly ResolvedInstrument[],
  files: readonly SiteFile[],
): Desired {
  const enabled = instruments.filter((i) => i.site.enabled);
  return {
    instruments: instruments.map((instrument) => {
      const spec = specOf(instrument, site);
      return {
        name: instrument.name,
        spec,
        specDigest: digestOfSpec(spec),
        enabled: instrument.site.enabled,
        files: filesOf(instrument, files),
      };
    }),
    spans: enabled.flatMap(({ name, site: { source } }) => {
      const entry = source === undefined ? undefined : site.interfaces[source];
      return source === undefined || entry?.kind !== "span"
        ? []
        : [{ engine: name, interface: source, device: entry.device }];
    }),
    taps: enabled.flatMap(({ name, site: { tap } }) => {
      const source = tap === undefined ? undefined : site.instruments[tap.from]?.source;
      return tap === undefined || source === undefined
        ? []
        : [{ instrument: name, engine: tap.from, interface: source, filter: tap.filter }];
    }),
  };
}

/** A volume grows without a new container, so sizes are left out. */
function digestOfSpec(spec: InstrumentSpec): string {
  return digestOf({ ...spec, volumes: spec.volumes.map(({ id, kind }) => ({ id, kind })) });
}

/** Files that the instrument's config names, and the version that stands for their content; null for none. */
export function filesOf(
  { site, package: { configSchema } }: ResolvedInstrument,
  files: readonly SiteFile[],
): DesiredInstrument["files"] {
  const names = siteFileNames(site.config ?? {}, configSchema);
  const found = files.filter((file) => names.includes(file.name));
  return found.length === 0 ? null : { version: digestOf(found).slice(0, 16), files: found };
}

function specOf(
  { name, site: entry, package: { manifest, digest } }: ResolvedInstrument,
  site: Site,
): InstrumentSpec {
  const ui = site.fleet.ui[name];
  return {
    name,
    package: manifest.name,
    version: manifest.version,
    imageDigest: digest,
    command: manifest.run.command,
    // NET_RAW reads a tap; without a tap there is nothing to read, and no reason to hold it.
    capabilities: entry.tap === undefined ? [] : manifest.run.capabilities,
    memoryBytes: manifest.resources.memory,
    cpu: manifest.resources.cpu,
    processes: manifest.resources.processes,
    volumes: manifest.needs.flatMap((need) =>
      need.kind === "storage.persistent" || need.kind === "storage.transient"
        ? [
            {
              id: need.id,
              kind: need.kind === "storage.persistent" ? ("persistent" as const) : ("transient" as const),
              sizeBytes: entry.storage?.[need.id] ?? need.size,
            },
          ]
        : [],
    ),
    ui: ui !== undefined && ui !== "deny" && manifest.needs.some((need) => need.kind === "ui"),
    network: networkOf(entry),
  };
}

function networkOf(entry: ResolvedInstrument["site"]): InstrumentNetwork {
  if (entry.source !== undefined) return { kind: "engine" };
  return { kind: entry.tap === undefined ? "none" : "mirror" };
}
