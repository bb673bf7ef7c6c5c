/** Check of what a site grants: both ends are in the site, and their manifests declare it, and mean the same by it. */
import type { Fault, Manifest, Need, Site } from "@bulkhead/schema";
import type { CheckInput } from "./check-site.ts";
import type { LocatedDocument } from "./located-document.ts";
import { findAccept, findSend, sameSchemas } from "./message-routes.ts";

export function checkGrants({ site, document, catalogue }: CheckInput): readonly Fault[] {
  const faults: Fault[] = [];
  const known = Object.keys(site.instruments);
  const manifestOf = (name: string) => catalogue[site.instruments[name]?.package ?? ""]?.manifest;
  const checkPair = (
    where: readonly (string | number)[],
    name: string,
    declared: (need: Need) => boolean,
    words: string,
  ): void => {
    const manifest = manifestOf(name);
    if (!known.includes(name)) {
      faults.push(
        document.fault(
          where,
          "unknown-instrument",
          `no instrument ${name} in this site`,
          `one of: ${known.join(", ")}`,
        ),
      );
    } else if (manifest !== undefined && !manifest.needs.some(declared)) {
      faults.push(
        document.fault(
          where,
          "not-declared",
          `${name} (${manifest.name}) does not declare ${words}`,
          `what its manifest declares: ${declarations(manifest)}`,
        ),
      );
    }
  };

  site.grants.events.forEach(({ from, type, to }, index) => {
    const at = ["grants", "events", index];
    checkPair(
      [...at, "from"],
      from,
      (n) => n.kind === "event.emit" && n.type === type && n.audience.includes("instruments"),
      `emitting ${type} to instruments`,
    );
    checkPair([...at, "to"], to, (n) => n.kind === "event.consume" && n.type === type, `consuming ${type}`);
  });
  site.grants.messages.forEach(({ from, verb, to }, index) => {
    const at = ["grants", "messages", index];
    checkPair([...at, "from"], from, (n) => n.kind === "message.send" && n.verb === verb, `sending ${verb}`);
    checkPair([...at, "to"], to, (n) => n.kind === "message.accept" && n.verb === verb, `accepting ${verb}`);
    faults.push(...checkMessage(document, at, { from, verb, to }, manifestOf));
  });
  site.grants.resources.forEach(({ from, type, to }, index) => {
    const at = ["grants", "resources", index];
    const publishes = (n: Need) => n.kind === "resource.publish" && n.type === type;
    const receives = (n: Need) => n.kind === "resource.receive" && n.type === type;
    checkPair([...at, "from"], from, publishes, `publishing ${type}`);
    checkPair([...at, "to"], to, receives, `receiving ${type}`);
    if (from === to) {
      const message = `${from} cannot publish a resource for itself`;
      faults.push(document.fault([...at, "to"], "invalid-value", message, "another instrument"));
    }
  });
  for (const [name, types] of Object.entries(site.fleet.events)) {
    types.forEach((type, index) => {
      checkPair(
        ["fleet", "events", name, index],
        name,
        (n) => n.kind === "event.emit" && n.type === type && n.audience.includes("users"),
        `emitting ${type} to users`,
      );
    });
  }
  for (const [name, grant] of Object.entries(site.fleet.ui)) {
    if (grant !== "deny") checkPair(["fleet", "ui", name], name, (n) => n.kind === "ui", "a UI");
  }
  return faults;
}

/** What the two manifests, each by itself in order, say together. */
function checkMessage(
  document: LocatedDocument,
  at: readonly (string | number)[],
  { from, verb, to }: Site["grants"]["messages"][number],
  manifestOf: (name: string) => Manifest | undefined,
): readonly Fault[] {
  if (from === to) {
    const message = `${from} cannot send itself a message`;
    return [document.fault([...at, "to"], "invalid-value", message, "another instrument")];
  }
  const send = findSend(manifestOf(from)?.needs ?? [], verb);
  const accept = findAccept(manifestOf(to)?.needs ?? [], verb);
  if (send === undefined || accept === undefined || sameSchemas(send, accept)) return [];
  const message = `${from} and ${to} declare ${verb} with different schemas of its request or reply`;
  return [
    document.fault(at, "schemas-differ", message, "versions of the two packages that mean the same by it"),
  ];
}

function declarations(manifest: Manifest): string {
  return (
    manifest.needs
      .map((need) =>
        "type" in need
          ? `${need.kind} ${need.type}`
          : "verb" in need
            ? `${need.kind} ${need.verb}`
            : need.kind,
      )
      .join(", ") || "(nothing)"
  );
}
