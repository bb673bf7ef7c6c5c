/**
 * Needs: what each instrument asked for, what the site grants and by which line, what is missing,
 * and what is granted that nobody asked for.
 */
import { type Need, type NeedStatus, renderDuration, renderSize, type Site } from "@bulkhead/schema";
import type { LocatedDocument, Path } from "./located-document.ts";
import type { ResolvedInstrument } from "./resolve.ts";

export interface NeedsReport {
  readonly asked: readonly NeedStatus[];
  readonly granted: readonly NeedStatus[];
  readonly missing: readonly NeedStatus[];
  readonly unused: readonly string[];
}

export function reportNeeds(
  site: Site,
  document: LocatedDocument,
  instruments: readonly ResolvedInstrument[],
): NeedsReport {
  const asked = instruments.flatMap((instrument) =>
    instrument.package.manifest.needs.map((need): NeedStatus => {
      const path = grantPath(site, instrument, need);
      return {
        instrument: instrument.name,
        need: need.id,
        kind: need.kind,
        what: describeNeed(need),
        by: path === null ? null : renderPlace(document, path),
      };
    }),
  );
  return {
    asked,
    granted: asked.filter((status) => status.by !== null),
    missing: asked.filter((status) => status.by === null),
    unused: unusedGrants(site, document),
  };
}

/** `site.yaml:12` */
export function renderPlace(document: LocatedDocument, path: Path): string {
  return `${document.file}:${document.locate(path).line}`;
}

/**
 * The place in the site that grants this need, or null. Storage and the emission of declared
 * events are granted by placing the instrument in the site; everything else needs a line of its own.
 */
export function grantPath(site: Site, { name, site: entry }: ResolvedInstrument, need: Need): Path | null {
  const at = ["instruments", name];
  const index = (found: number, path: Path): Path | null => (found < 0 ? null : [...path, found]);
  switch (need.kind) {
    case "storage.transient":
    case "storage.persistent":
      return entry.storage?.[need.id] === undefined ? at : [...at, "storage", need.id];
    case "event.emit":
      return at;
    case "net.mirror":
      return entry.tap === undefined ? null : [...at, "tap"];
    case "net.bridged":
      return entry.bridge === undefined ? null : [...at, "bridge"];
    case "net.dedicated":
      return entry.dedicated === undefined ? null : [...at, "dedicated"];
    case "net.egress":
      return entry.egress === undefined ? null : [...at, "egress"];
    case "capture.source":
    case "capture.output":
      return entry.source === undefined ? null : [...at, "source"];
    case "event.consume":
      return index(
        site.grants.events.findIndex((g) => g.to === name && g.type === need.type),
        ["grants", "events"],
      );
    case "message.accept":
      return index(
        site.grants.messages.findIndex((g) => g.to === name && g.verb === need.verb),
        ["grants", "messages"],
      );
    case "message.send":
      return index(
        site.grants.messages.findIndex((g) => g.from === name && g.verb === need.verb),
        ["grants", "messages"],
      );
    case "ui": {
      const grant = site.fleet.ui[name];
      return grant === undefined || grant === "deny" ? null : ["fleet", "ui", name];
    }
    case "find":
      // It tells of nobody with whom no grant is shared.
      return at;
    case "resource.publish":
      return index(
        site.grants.resources.findIndex((g) => g.from === name && g.type === need.type),
        ["grants", "resources"],
      );
    case "resource.receive":
      return index(
        site.grants.resources.findIndex((g) => g.to === name && g.type === need.type),
        ["grants", "resources"],
      );
  }
}

export function describeNeed(need: Need): string {
  switch (need.kind) {
    case "storage.transient":
      return `${renderSize(need.size)} that are deleted at each stop`;
    case "storage.persistent":
      return `${renderSize(need.size)} that stay${need.retention === undefined ? "" : `, data kept ${renderDuration(need.retention.default)}`}`;
    case "event.emit":
      return `emit ${need.type} to ${need.audience.join(" and ")}${need.class === "personal-data" ? " (personal data)" : ""}`;
    case "event.consume":
      return `consume ${need.type}`;
    case "message.accept":
      return `accept ${need.verb}`;
    case "message.send":
      return `send ${need.verb}`;
    case "net.mirror":
      return "a receive-only copy of traffic";
    case "net.bridged":
      return `a port on a segment${need.listen.length === 0 ? "" : `, reached at ${need.listen.join(", ")}`}${need.egress.length === 0 ? "" : `, reaching ${need.egress.join(", ")}`}`;
    case "net.dedicated":
      return "a network device to itself";
    case "net.egress":
      return `reach ${need.hosts.join(", ") || "hosts that the site names"} through the platform's proxy`;
    case "ui":
      return `show "${need.title}" to ${need.roles.join(", ")}`;
    case "find":
      return `find granted peers of type ${need.type}`;
    case "capture.source":
      return "own a span interface";
    case "capture.output":
      return "feed mirrors";
    case "resource.publish":
      return `publish ${need.type}, each at most ${renderSize(need.size)}`;
    case "resource.receive":
      return `receive ${need.type} of up to ${renderSize(need.size)}`;
  }
}

function unusedGrants(site: Site, document: LocatedDocument): readonly string[] {
  const instruments = Object.values(site.instruments);
  const used = new Set(instruments.flatMap((i) => [i.source, i.bridge?.on, i.egress?.through]));
  const interfaces = Object.keys(site.interfaces)
    .filter((name) => !used.has(name))
    .map((name) => `interface ${name} (${renderPlace(document, ["interfaces", name])})`);
  const strangers = (["events", "ui"] as const).flatMap((key) =>
    Object.keys(site.fleet[key])
      .filter((name) => !(name in site.instruments))
      .map((name) => `fleet.${key} of ${name} (${renderPlace(document, ["fleet", key, name])})`),
  );
  return [...interfaces, ...strangers];
}
