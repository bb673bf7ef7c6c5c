/**
 * Grant changes: what a new site grants that the former did not, and the other way round; for the
 * audit log. Pure.
 */
import type { Site } from "@bulkhead/schema";
import { renderCanonical } from "./canonical.ts";

export interface Grant {
  /** The instrument that got it; `sensor` for what is not an instrument's. */
  readonly subject: string;
  /** `event`, `message`, `resource`, `flow`, `interface`, `fleet-events`, `fleet-ui`, or a key of the instrument in the site. */
  readonly what: string;
  /** The grant as canonical JSON. */
  readonly grant: string;
}

export interface GrantChanges {
  readonly added: readonly Grant[];
  readonly removed: readonly Grant[];
}

/** @param before null: there was none, or none that can be read */
export function grantChanges(before: Site | null, after: Site): GrantChanges {
  const former = before === null ? [] : grantsOf(before);
  const present = grantsOf(after);
  return { added: without(present, former), removed: without(former, present) };
}

/** Keys of an instrument that give it something; the others say what it is. */
const GIVING = ["source", "tap", "bridge", "dedicated", "egress", "storage", "retention"] as const;

function grantsOf(site: Site): readonly Grant[] {
  const grant = (subject: string, what: string, value: unknown): Grant => ({
    subject,
    what,
    grant: renderCanonical(value),
  });
  return [
    ...Object.entries(site.interfaces).map(([name, value]) =>
      grant("sensor", "interface", { name, ...value }),
    ),
    ...Object.entries(site.instruments).flatMap(([name, instrument]) =>
      GIVING.flatMap((what) => (instrument[what] === undefined ? [] : [grant(name, what, instrument[what])])),
    ),
    ...site.grants.events.map((event) => grant(event.to, "event", event)),
    ...site.grants.messages.map((message) => grant(message.from, "message", message)),
    ...site.grants.resources.map((resource) => grant(resource.from, "resource", resource)),
    ...site.flows.map((flow) => grant(flow.from, "flow", flow)),
    ...(site.fleet.manage ? [grant("sensor", "fleet-manage", true)] : []),
    ...Object.entries(site.fleet.events).flatMap(([name, types]) =>
      types.map((type) => grant(name, "fleet-events", type)),
    ),
    ...Object.entries(site.fleet.ui).map(([name, ui]) => grant(name, "fleet-ui", ui)),
  ];
}

function without(these: readonly Grant[], those: readonly Grant[]): readonly Grant[] {
  const known = new Set(those.map(keyOf));
  return these.filter((grant) => !known.has(keyOf(grant)));
}

function keyOf({ subject, what, grant }: Grant): string {
  return `${subject} ${what} ${grant}`;
}
