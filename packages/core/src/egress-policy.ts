/**
 * The egress proxy, decided: which interface it owns, what may go out of it at all, and what each instrument may reach.
 *
 * There is at most one, and only while an enabled instrument is granted something through it. Pure.
 */
import {
  type Addressing,
  EGRESS_DEFAULTS,
  type EgressPolicy,
  type Name,
  parseEgressTarget,
  parseIp,
  parsePrivateRange,
  parseUpstreamProxy,
  renderEgressTarget,
  type Site,
} from "@bulkhead/schema";
import { digestOf } from "./canonical.ts";
import type { ResolvedInstrument } from "./resolve.ts";

/** The interface and the kernel's rules around it: an outer bound, whatever the proxy does. */
export interface EgressSetup {
  readonly interface: Name;
  readonly device: string;
  readonly vlan: number | null;
  readonly address: Addressing;
  /** Servers that may be asked on port 53. */
  readonly dns: readonly string[];
  /** Networks that may be reached although they are private, with prefix lengths. */
  readonly private: readonly string[];
  /** TCP ports that may be connected to. */
  readonly ports: readonly number[];
}

export interface DesiredEgress extends EgressSetup {
  /** Digest of the setup. */
  readonly setup: string;
  readonly policy: EgressPolicy;
  readonly policyDigest: string;
}

type EgressEntry = Extract<Site["interfaces"][string], { kind: "egress" }>;

export function egressInterface(site: Site): readonly [Name, EgressEntry] | null {
  for (const [name, entry] of Object.entries(site.interfaces))
    if (entry.kind === "egress") return [name, entry];
  return null;
}

/** `enabled`: the instruments that shall run. */
export function desiredEgress(site: Site, enabled: readonly ResolvedInstrument[]): DesiredEgress | null {
  const found = egressInterface(site);
  const permits = enabled.flatMap(({ name, site: { egress } }) => {
    if (egress === undefined || egress.through !== found?.[0]) return [];
    const { sent, received, connections } = egress.limits ?? {};
    return [
      {
        instrument: name,
        targets: egress.hosts.map(canonicalTarget).toSorted(),
        sentBytes: sent ?? EGRESS_DEFAULTS.sentBytes,
        receivedBytes: received ?? EGRESS_DEFAULTS.receivedBytes,
        connections: connections ?? EGRESS_DEFAULTS.connections,
      },
    ];
  });
  if (found === null || permits.length === 0) return null;
  const [name, entry] = found;
  const proxy = entry.proxy === undefined ? null : parseUpstreamProxy(entry.proxy);
  const exceptions = entry.private.flatMap((text) => parsePrivateRange(text) ?? []);
  const dns = entry.dns.flatMap((text) => parseIp(text)?.address ?? []);
  const ports =
    proxy === null ? entry.allow.flatMap((text) => parseEgressTarget(text)?.port ?? []) : [proxy.port];
  const setup: EgressSetup = {
    interface: name,
    device: entry.device,
    vlan: entry.vlan ?? null,
    address: entry.address,
    dns,
    private: exceptions,
    ports: [...new Set(ports)].toSorted((a, b) => a - b),
  };
  const policy: EgressPolicy = { dns, private: exceptions, proxy, permits };
  return {
    ...setup,
    setup: digestOf(setup).slice(0, 16),
    policy,
    policyDigest: digestOf(policy).slice(0, 16),
  };
}

/** Whether one of a manifest's lists holds the target; a list that is empty leaves the hosts to the site. */
export function isAskedTarget(text: string, lists: readonly (readonly string[])[]): boolean {
  const target = canonicalTarget(text);
  return lists.some((hosts) => hosts.length === 0 || hosts.some((host) => canonicalTarget(host) === target));
}

/** The schema has parsed it; as text, one target has one spelling. */
export function canonicalTarget(text: string): string {
  const target = parseEgressTarget(text);
  return target === null ? text : renderEgressTarget(target);
}
