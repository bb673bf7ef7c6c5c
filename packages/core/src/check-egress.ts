/**
 * Check of the egress interface and of what instruments are granted through it: within the interface's list, and
 * within what the manifest asks.
 */
import type { Fault, Manifest, Site, SiteInstrument } from "@bulkhead/schema";
import { checkAddressing } from "./check-network.ts";
import { canonicalTarget, egressInterface, isAskedTarget } from "./egress-policy.ts";
import type { LocatedDocument } from "./located-document.ts";

export function checkEgressInterfaces(site: Site, document: LocatedDocument): readonly Fault[] {
  const first = egressInterface(site);
  return Object.entries(site.interfaces).flatMap(([name, entry]): readonly Fault[] => {
    if (entry.kind !== "egress") return [];
    const path = ["interfaces", name];
    const faults = [...checkAddressing([...path, "address"], entry.address, document)];
    if (name !== first?.[0]) {
      const words = `${first?.[0]} is this site's egress interface already`;
      faults.push(
        document.fault([...path, "kind"], "invalid-value", words, "one egress interface in a site"),
      );
    }
    if (entry.dns.length === 0 && entry.proxy === undefined) {
      const words = "without a DNS server no name leads anywhere";
      const accepted = "dns: a list of server addresses; or proxy: an HTTP proxy that resolves by itself";
      faults.push(document.fault([...path, "dns"], "missing", words, accepted));
    }
    return faults;
  });
}

export function checkEgressGrant(
  name: string,
  { egress }: SiteInstrument,
  manifest: Manifest,
  { site, document }: { readonly site: Site; readonly document: LocatedDocument },
): readonly Fault[] {
  if (egress === undefined) return [];
  const path = ["instruments", name, "egress"];
  const lists = manifest.needs.flatMap((need) => (need.kind === "net.egress" ? [need.hosts] : []));
  if (lists.length === 0) {
    const words = `${manifest.name} does not ask for net.egress`;
    return [document.fault(path, "not-needed", words, "no egress here")];
  }
  const through = site.interfaces[egress.through];
  if (through?.kind !== "egress") {
    const known = egressInterface(site)?.[0] ?? "(none is declared)";
    const words = `${egress.through} is no egress interface of this site`;
    return [document.fault([...path, "through"], "unknown-interface", words, `one of: ${known}`)];
  }
  const allowed = through.allow.map(canonicalTarget);
  return egress.hosts.flatMap((text, index): readonly Fault[] => {
    const at = [...path, "hosts", index];
    if (!allowed.includes(canonicalTarget(text))) {
      const words = `${text} is not in what ${egress.through} allows`;
      return [
        document.fault(at, "not-declared", words, `one of: ${allowed.join(", ") || "(it allows nothing)"}`),
      ];
    }
    if (isAskedTarget(text, lists)) return [];
    const words = `${manifest.name} does not ask to reach ${text}`;
    return [document.fault(at, "not-declared", words, `one of: ${lists.flat().join(", ")}`)];
  });
}
