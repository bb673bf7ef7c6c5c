/**
 * Explain: in plain words what one instrument can see, reach, keep and use, and which line of
 * which file says so. Derived from the same reading of the site that the plan is made from.
 */
import {
  type Explanation,
  type Name,
  type Need,
  PLATFORM_NAME,
  renderDuration,
  renderSize,
} from "@bulkhead/schema";
import type { LocatedDocument, Path } from "./located-document.ts";
import { checkFlows } from "./flows.ts";
import { describeNeed, grantPath, renderPlace } from "./needs.ts";
import { parseLocatedDocument } from "./located-document.ts";
import type { CheckedSite } from "./plan.ts";
import type { ResolvedInstrument } from "./resolve.ts";
import { retentionOf } from "./retention-period.ts";

type Line = Explanation["sections"][number]["lines"][number];
const PROFILE = "platform profile";

/** Null where the site has no such instrument. */
export function explainInstrument(name: Name, input: CheckedSite): Explanation | null {
  const instrument = input.instruments.find((i) => i.name === name);
  if (instrument === undefined) return null;
  const { manifest } = instrument.package;
  const places = new Places(input, instrument);
  const sections: Explanation["sections"] = [
    { title: "can see", lines: [...seen(instrument, input, places)] },
    { title: "can reach", lines: [...reached(instrument, input, places)] },
    { title: "can be reached by", lines: [...reachedBy(instrument, input, places)] },
    { title: "can keep", lines: [...kept(instrument, places)] },
    { title: "can use", lines: [...used(instrument, places)] },
    { title: "was denied", lines: [...denied(instrument, input, places)] },
  ];
  const flows = checkFlows(input.site, input.document, input.instruments).paths.filter((p) =>
    p.path.includes(name),
  );
  return {
    instrument: name,
    package: manifest.name,
    title: manifest.title,
    role: manifest.role,
    sections,
    flows: [...flows],
  };
}

function seen({ name, site }: ResolvedInstrument, input: CheckedSite, places: Places): readonly Line[] {
  const lines: Line[] = [];
  if (site.tap !== undefined) {
    const source = input.site.instruments[site.tap.from]?.source ?? "?";
    const device = input.site.interfaces[source]?.device ?? "?";
    const what = site.tap.filter === "" ? "every frame" : `the frames that match "${site.tap.filter}"`;
    lines.push({
      text: `${what} of ${source} (${device}), copied in the kernel onto a wire that only receives`,
      by: places.site(["instruments", name, "tap"]),
    });
  }
  if (site.source !== undefined) {
    lines.push({
      text: `the counters of ${site.source}; no frame, for it holds no capability in the namespace that owns the interface`,
      by: places.site(["instruments", name, "source"]),
    });
  }
  for (const [index, grant] of input.site.grants.events.entries()) {
    if (grant.to === name)
      lines.push({
        text: `${grant.type} events of ${grant.from}`,
        by: places.site(["grants", "events", index]),
      });
  }
  for (const [index, grant] of input.site.grants.resources.entries()) {
    if (grant.to === name)
      lines.push({
        text: `${grant.type} resources of ${grant.from}, below /resources, read-only`,
        by: places.site(["grants", "resources", index]),
      });
  }
  return orNothing(lines, "no traffic and no events of others");
}

function reached(instrument: ResolvedInstrument, input: CheckedSite, places: Places): readonly Line[] {
  const { name } = instrument;
  const lines: Line[] = [...networkReached(instrument, places), ...egressReached(instrument, places)];
  for (const [index, grant] of input.site.grants.events.entries()) {
    if (grant.from === name)
      lines.push({
        text: `${grant.to}, which receives its ${grant.type} events`,
        by: places.site(["grants", "events", index]),
      });
  }
  for (const [index, grant] of input.site.grants.messages.entries()) {
    if (grant.from === name)
      lines.push({
        text: `${grant.to}, by the message ${grant.verb}`,
        by: places.site(["grants", "messages", index]),
      });
  }
  for (const [index, grant] of input.site.grants.resources.entries()) {
    if (grant.from === name)
      lines.push({
        text: `${grant.to}, which is given its ${grant.type} resources`,
        by: places.site(["grants", "resources", index]),
      });
  }
  const types = input.site.fleet.events[name] ?? [];
  if (types.length > 0)
    lines.push({
      text: `the fleet, which may ask for ${types.join(", ")}`,
      by: places.site(["fleet", "events", name]),
    });
  lines.push({
    text: `${PLATFORM_NAME}: greeting, health and log lines, over its own socket`,
    by: PROFILE,
  });
  return lines;
}

function networkReached({ name, site }: ResolvedInstrument, places: Places): readonly Line[] {
  const at = ["instruments", name];
  if (site.dedicated !== undefined) {
    const text = `whatever the network at ${site.dedicated.device} leads to: the device is its own`;
    return [{ text, by: places.site([...at, "dedicated"]) }];
  }
  const { bridge } = site;
  if (bridge === undefined) return [{ text: "no network: it has no interface that can send", by: PROFILE }];
  const nothing = `nothing on the segment ${bridge.on} by itself; it may only answer`;
  if (bridge.egress.length === 0) return [{ text: nothing, by: places.site([...at, "bridge"]) }];
  return bridge.egress.map((destination, index) => ({
    text: `${destination}, on the segment ${bridge.on} or through its gateway`,
    by: places.site([...at, "bridge", "egress", index]),
  }));
}

function egressReached({ name, site: { egress } }: ResolvedInstrument, places: Places): readonly Line[] {
  return (egress?.hosts ?? []).map((host, index) => ({
    text: `${host}${host.startsWith("http://") ? "" : ", in TLS for that name"}, through the platform's proxy at ${egress?.through ?? ""}; it has no interface for it`,
    by: places.site(["instruments", name, "egress", "hosts", index]),
  }));
}

function networkReachedBy({ name, site }: ResolvedInstrument, places: Places): readonly Line[] {
  const at = ["instruments", name];
  if (site.dedicated !== undefined) {
    const text = `whoever is on the network at ${site.dedicated.device}`;
    return [{ text, by: places.site([...at, "dedicated"]) }];
  }
  return (site.bridge?.listen ?? []).map((port, index) => ({
    text: `whoever is on the segment ${site.bridge?.on ?? ""}, at ${port}; never another instrument`,
    by: places.site([...at, "bridge", "listen", index]),
  }));
}

function reachedBy(instrument: ResolvedInstrument, input: CheckedSite, places: Places): readonly Line[] {
  const { name } = instrument;
  const lines: Line[] = [
    { text: "the platform, which sends it its configuration", by: PROFILE },
    ...networkReachedBy(instrument, places),
  ];
  for (const [index, grant] of input.site.grants.messages.entries()) {
    if (grant.to === name)
      lines.push({
        text: `${grant.from}, by the message ${grant.verb}`,
        by: places.site(["grants", "messages", index]),
      });
  }
  const ui = input.site.fleet.ui[name];
  if (ui !== undefined && ui !== "deny")
    lines.push({
      text: `people with the role ${ui.roles.join(" or ")}, at its UI, through the platform alone`,
      by: places.site(["fleet", "ui", name]),
    });
  return lines;
}

function kept(instrument: ResolvedInstrument, places: Places): readonly Line[] {
  const retentionMs = retentionOf(instrument);
  const lines = instrument.package.manifest.needs.flatMap((need): Line[] => {
    if (need.kind !== "storage.persistent" && need.kind !== "storage.transient") return [];
    const size = instrument.site.storage?.[need.id];
    const words = size === undefined ? describeNeed(need) : describeNeed({ ...need, size });
    const by =
      size === undefined
        ? places.manifest(need)
        : places.site(["instruments", instrument.name, "storage", need.id]);
    return [{ text: `/data/${need.id}: ${words}; no other instrument can read it`, by }];
  });
  if (retentionMs !== null && lines.length > 0) {
    const stated = instrument.site.retention !== undefined;
    const by = stated ? places.site(["instruments", instrument.name, "retention"]) : places.manifestFile;
    lines.push({ text: `data for at most ${renderDuration(retentionMs)}`, by });
  }
  return orNothing(lines, "nothing: it has no volume");
}

function used({ site, package: { manifest } }: ResolvedInstrument, places: Places): readonly Line[] {
  const { memory, cpu, processes } = manifest.resources;
  const raw = site.tap !== undefined && manifest.run.capabilities.includes("NET_RAW");
  return [
    {
      text: `at most ${renderSize(memory)} of memory, ${cpu} ${cpu === 1 ? "core" : "cores"}, ${processes} processes`,
      by: places.manifestPath(["resources"]),
    },
    raw
      ? {
          text: "the capability NET_RAW alone, to read its wire",
          by: places.manifestPath(["run", "capabilities"]),
        }
      : { text: "no capability", by: PROFILE },
    {
      text: "an unprivileged user of an id range that no one else has; a read-only root; system calls by a deny list",
      by: PROFILE,
    },
  ];
}

function denied(instrument: ResolvedInstrument, input: CheckedSite, places: Places): readonly Line[] {
  const lines = instrument.package.manifest.needs
    .filter((need) => grantPath(input.site, instrument, need) === null)
    .map((need) => ({
      text: `${describeNeed(need)}: asked for, not granted`,
      by: places.manifest(need),
    }));
  return [
    ...lines,
    ...instrument.wider.map((what) => ({
      text: `${what}: asked for by a newer version that waits`,
      by: places.manifestFile,
    })),
  ];
}

function orNothing(lines: readonly Line[], words: string): readonly Line[] {
  return lines.length > 0 ? lines : [{ text: words, by: PROFILE }];
}

/** Where things stand, as `file:line`. */
class Places {
  readonly #site: LocatedDocument;
  readonly #manifest: LocatedDocument | null;
  readonly manifestFile: string;
  readonly #instrument: ResolvedInstrument;

  constructor(input: CheckedSite, instrument: ResolvedInstrument) {
    const { manifestText, manifestFile } = instrument.package;
    this.#site = input.document;
    this.#instrument = instrument;
    this.manifestFile = manifestFile;
    const parsed = parseLocatedDocument(manifestText, manifestFile);
    this.#manifest = parsed.ok ? parsed.document : null;
  }

  site(path: Path): string {
    return renderPlace(this.#site, path);
  }

  manifestPath(path: Path): string {
    return this.#manifest === null ? this.manifestFile : renderPlace(this.#manifest, path);
  }

  manifest(need: Need): string {
    return this.manifestPath(["needs", this.#instrument.package.manifest.needs.indexOf(need)]);
  }
}
