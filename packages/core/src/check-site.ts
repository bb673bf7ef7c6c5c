/**
 * Check of a parsed site against catalogue and host: everything that a schema cannot say. All
 * faults at once. An absent device is no fault; a device that another installation holds is one.
 */
import type {
  Catalogue,
  Fault,
  Manifest,
  NeedKind,
  Observed,
  Site,
  SiteFile,
  SiteInstrument,
} from "@bulkhead/schema";
import { RESERVED_NAMES } from "@bulkhead/schema";
import { checkConfig } from "./check-config.ts";
import { checkEgressGrant, checkEgressInterfaces } from "./check-egress.ts";
import { checkGrants } from "./check-grants.ts";
import { checkInstrumentNetwork, checkSharedNetwork } from "./check-network.ts";
import { checkRetention } from "./check-retention.ts";
import { checkSlices } from "./check-slices.ts";
import type { LocatedDocument } from "./located-document.ts";
import { periodMsOf } from "./retention-period.ts";

export interface CheckInput {
  readonly site: Site;
  readonly document: LocatedDocument;
  readonly catalogue: Catalogue;
  readonly files: readonly SiteFile[];
  /** Expressions that the filter compiler refused, with its words. */
  readonly rejectedFilters: Readonly<Record<string, string>>;
  /** Devices that other installations on this host hold. */
  readonly claimedDevices: readonly { readonly device: string; readonly installation: string }[];
  /** Those that are there. */
  readonly volumes: Observed["volumes"];
}

export function checkSite(input: CheckInput): readonly Fault[] {
  return [
    ...checkInterfaces(input),
    ...checkInstruments(input),
    ...checkSharedNetwork(input.site, input.document),
    ...checkEgressInterfaces(input.site, input.document),
    ...checkGrants(input),
    ...checkRetention(input),
  ];
}

function checkInterfaces({ site, document, claimedDevices }: CheckInput): readonly Fault[] {
  const faults: Fault[] = [];
  const owners = new Map<string, string>();
  for (const [name, entry] of Object.entries(site.interfaces)) {
    const path = ["interfaces", name, "device"];
    const other = owners.get(entry.device);
    if (other !== undefined) {
      faults.push(
        document.fault(
          path,
          "duplicate-device",
          `${entry.device} is already interface ${other}`,
          "a device of its own",
        ),
      );
    }
    owners.set(entry.device, name);
    const claim = claimedDevices.find((c) => c.device === entry.device);
    if (claim !== undefined) {
      faults.push(
        document.fault(
          path,
          "duplicate-device",
          `${entry.device} is held by installation ${claim.installation} on this host`,
          "a device that no other installation holds",
        ),
      );
    }
  }
  return faults;
}

function checkInstruments(input: CheckInput): readonly Fault[] {
  const { site, document, catalogue } = input;
  const sources = new Map<string, string>();
  return Object.entries(site.instruments).flatMap(([name, instrument]): readonly Fault[] => {
    const path = ["instruments", name];
    if (RESERVED_NAMES.includes(name)) {
      return [
        document.fault(path, "name-reserved", `${name} is a name of the platform's own`, "another name"),
      ];
    }
    const offered = catalogue[instrument.package];
    if (offered === undefined) {
      const known = Object.keys(catalogue).join(", ") || "(the catalogue is empty)";
      return [
        document.fault(
          [...path, "package"],
          "unknown-package",
          `no package ${instrument.package} in the catalogue`,
          `one of: ${known}`,
        ),
      ];
    }
    return [
      ...checkNetwork(name, instrument, offered.manifest, input, sources),
      ...checkInstrumentNetwork(name, instrument, offered.manifest, input),
      ...checkEgressGrant(name, instrument, offered.manifest, input),
      ...checkStorage(name, instrument, offered.manifest, document),
      ...checkSlices(name, instrument, offered.manifest, {
        document,
        periodMs: periodMsOf({ site: instrument, package: offered }, site.policy.retention),
        volumes: input.volumes,
      }),
      ...checkConfig({
        name,
        config: instrument.config,
        schema: offered.configSchema,
        document,
        files: input.files,
      }),
    ];
  });
}

function checkNetwork(
  name: string,
  instrument: SiteInstrument,
  manifest: Manifest,
  { site, document, rejectedFilters }: CheckInput,
  sources: Map<string, string>,
): readonly Fault[] {
  const faults: Fault[] = [];
  const path = ["instruments", name];
  const needs = (kind: NeedKind) => manifest.needs.some((need) => need.kind === kind);
  const unasked = (key: string, kind: NeedKind) =>
    document.fault(
      [...path, key],
      "not-needed",
      `${manifest.name} does not ask for ${kind}`,
      `no ${key} here`,
    );

  if (instrument.source !== undefined) {
    const where = [...path, "source"];
    const spans = Object.entries(site.interfaces).filter(([, entry]) => entry.kind === "span");
    const other = sources.get(instrument.source);
    if (!needs("capture.source")) faults.push(unasked("source", "capture.source"));
    else if (!spans.some(([key]) => key === instrument.source)) {
      faults.push(
        document.fault(
          where,
          "unknown-interface",
          `${instrument.source} is no span interface of this site`,
          `one of: ${spans.map(([key]) => key).join(", ") || "(none is declared)"}`,
        ),
      );
    } else if (other !== undefined) {
      faults.push(
        document.fault(
          where,
          "duplicate-device",
          `${instrument.source} is owned by ${other} alone`,
          "a span interface of its own",
        ),
      );
    }
    sources.set(instrument.source, name);
  }
  if (instrument.tap !== undefined) {
    const engines = Object.entries(site.instruments)
      .filter(([, i]) => i.source !== undefined)
      .map(([key]) => key);
    if (!needs("net.mirror")) faults.push(unasked("tap", "net.mirror"));
    if (!engines.includes(instrument.tap.from)) {
      faults.push(
        document.fault(
          [...path, "tap", "from"],
          "unknown-instrument",
          `${instrument.tap.from} is no capture engine with a source`,
          `one of: ${engines.join(", ") || "(none has a source)"}`,
        ),
      );
    }
    const rejected = rejectedFilters[instrument.tap.filter];
    if (rejected !== undefined) {
      faults.push(
        document.fault(
          [...path, "tap", "filter"],
          "filter-rejected",
          rejected,
          "a capture filter as in pcap-filter(7), or nothing for all frames",
        ),
      );
    }
  }
  return faults;
}

function checkStorage(
  name: string,
  instrument: SiteInstrument,
  manifest: Manifest,
  document: LocatedDocument,
): readonly Fault[] {
  const volumes = manifest.needs.filter(
    (need) => need.kind === "storage.persistent" || need.kind === "storage.transient",
  );
  return Object.keys(instrument.storage ?? {})
    .filter((id) => !volumes.some((need) => need.id === id))
    .map((id) =>
      document.fault(
        ["instruments", name, "storage", id],
        "not-needed",
        `${manifest.name} has no volume ${id}`,
        `one of: ${volumes.map((n) => n.id).join(", ") || "(it asks for none)"}`,
      ),
    );
}
