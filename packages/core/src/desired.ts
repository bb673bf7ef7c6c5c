/**
 * Desired: what shall be on the host, decided from the site and the packages alone.
 */
import type {
  Addressing,
  InstrumentNetwork,
  InstrumentSpec,
  Name,
  Site,
  SiteFile,
  VolumeSpec,
} from "@bulkhead/schema";
import { digestOf } from "./canonical.ts";
import { siteFileNames } from "./check-config.ts";
import { type DesiredEgress, desiredEgress } from "./egress-policy.ts";
import type { ResolvedInstrument } from "./resolve.ts";
import { periodMsOf } from "./retention-period.ts";

export interface DesiredTap {
  readonly instrument: Name;
  readonly engine: Name;
  readonly interface: Name;
  readonly filter: string;
}

/** A segment that an enabled instrument has a port on. */
export interface DesiredSegment {
  readonly segment: Name;
  readonly device: string;
  readonly vlan: number | null;
}

/** A port on a segment, and what may pass it. */
export interface DesiredPort {
  readonly instrument: Name;
  readonly segment: Name;
  readonly address: Addressing;
  readonly listen: readonly string[];
  readonly egress: readonly string[];
  /** Of the segment; a lease lies in one of them. Empty: in any. */
  readonly networks: readonly string[];
  /** Digest of the four above. */
  readonly policy: string;
}

/** A device of the host that an instrument has to itself. */
export interface DesiredNic {
  readonly instrument: Name;
  readonly device: string;
  readonly address: Addressing | null;
  readonly policy: string;
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
  readonly segments: readonly DesiredSegment[];
  readonly ports: readonly DesiredPort[];
  readonly nics: readonly DesiredNic[];
  /** Null where no enabled instrument is granted anything through the proxy. */
  readonly egress: DesiredEgress | null;
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
    segments: Object.entries(site.interfaces).flatMap(([segment, entry]) =>
      entry.kind === "segment" && enabled.some((i) => i.site.bridge?.on === segment)
        ? [{ segment, device: entry.device, vlan: entry.vlan ?? null }]
        : [],
    ),
    ports: enabled.flatMap(({ name, site: { bridge } }) => {
      if (bridge === undefined) return [];
      const { on, address, listen, egress } = bridge;
      const segment = site.interfaces[on];
      const networks = (segment?.kind === "segment" ? segment.networks : undefined) ?? [];
      const policy = digestOf({ address, listen, egress, networks }).slice(0, 16);
      return [{ instrument: name, segment: on, address, listen, egress, networks, policy }];
    }),
    egress: desiredEgress(site, enabled),
    nics: enabled.flatMap(({ name, site: { dedicated } }) => {
      if (dedicated === undefined) return [];
      const address = dedicated.address ?? null;
      const policy = digestOf({ address }).slice(0, 16);
      return [{ instrument: name, device: dedicated.device, address, policy }];
    }),
  };
}

/** A volume grows without a new container, so sizes are left out. What slices are opened by is in its record. */
function digestOfSpec(spec: InstrumentSpec): string {
  return digestOf({ ...spec, volumes: spec.volumes.map(({ id, kind, slices }) => ({ id, kind, slices })) });
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

function specOf(instrument: ResolvedInstrument, site: Site): InstrumentSpec {
  const {
    name,
    site: entry,
    package: { manifest, digest },
  } = instrument;
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
    volumes: volumesOf(instrument, site),
    ui: ui !== undefined && ui !== "deny" && manifest.needs.some((need) => need.kind === "ui"),
    egress: entry.egress !== undefined,
    resources: manifest.needs.some((need) => need.kind === "resource.receive"),
    network: networkOf(entry),
  };
}

function volumesOf(instrument: ResolvedInstrument, site: Site): VolumeSpec[] {
  const { storage, slices } = instrument.site;
  return instrument.package.manifest.needs.flatMap((need): VolumeSpec[] => {
    if (need.kind !== "storage.persistent" && need.kind !== "storage.transient") return [];
    const { id } = need;
    const sizeBytes = storage?.[id] ?? need.size;
    if (need.kind === "storage.transient") return [{ id, kind: "transient", sizeBytes }];
    const lengthMs = need.slices === true ? slices?.[id] : undefined;
    if (lengthMs === undefined) return [{ id, kind: "persistent", sizeBytes }];
    const periodMs = periodMsOf(instrument, site.policy.retention);
    return [{ id, kind: "persistent", sizeBytes, slices: { lengthMs, periodMs } }];
  });
}

function networkOf(entry: ResolvedInstrument["site"]): InstrumentNetwork {
  if (entry.source !== undefined) return { kind: "engine" };
  if (entry.bridge !== undefined) return { kind: "port" };
  if (entry.dedicated !== undefined) return { kind: "nic" };
  return { kind: entry.tap === undefined ? "none" : "mirror" };
}
