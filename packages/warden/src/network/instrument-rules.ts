/**
 * The instrument's side of a port: a stateful table in its own namespace, in nft's own words. Pure.
 *
 * Invariants: nobody inside holds a capability over it; what no rule accepts is dropped, in both directions; it says
 * the same as the segment's side does, and enforces it alone should that side be gone.
 */
import { type EgressFlow, type PortPolicy, renderPorts, renderSet } from "./port-policy.ts";
import { instrumentDevice } from "./network-names.ts";
import { refusedRules, refusedSets } from "./refused-rules.ts";

/** Within the instrument's namespace; nobody else has tables there. */
export const instrumentTable = "bulkhead";

/**
 * Connections at one time, over loopback too, as many as one process has descriptors: each takes kernel memory and a
 * place in the host's one hash table, which the kernel charges to nobody. It counts each namespace apart
 * (net/netfilter/nf_conntrack_core.c), but against the one figure of the host.
 */
const CONNECTIONS = 4_096;
const CAP = `ct state new ct count over ${CONNECTIONS} counter drop comment "refused: too many connections"`;

/** Replaces the whole table in one transaction. */
export function renderInstrumentRules(policy: PortPolicy): string {
  return [
    `table inet ${instrumentTable}`,
    `delete table inet ${instrumentTable}`,
    `table inet ${instrumentTable} {`,
    ...refusedSets(),
    "  chain input {",
    "    type filter hook input priority 0; policy drop;",
    ...input(policy).map((rule) => `    ${rule}`),
    "  }",
    "  chain output {",
    "    type filter hook output priority 0; policy drop;",
    ...output(policy).map((rule) => `    ${rule}`),
    "  }",
    "  chain forward {",
    "    type filter hook forward priority 0; policy drop;",
    "  }",
    "}",
    "",
  ].join("\n");
}

const ND = "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert }";

function input(policy: PortPolicy): readonly string[] {
  const some = policy.listen.length + policy.egress.length > 0;
  return [
    // What comes over loopback was counted as it went out.
    'iifname "lo" accept',
    CAP,
    `iifname != "${instrumentDevice}" drop`,
    `ether saddr & ff:ff:ff:00:00:00 == ${policy.instrumentsMac} counter drop comment "refused: another instrument"`,
    ...(policy.ipv6.length > 0 ? [`${ND} accept`] : []),
    // What an answer to the DHCP client's renewal is, connection tracking knows.
    ...(policy.dhcpUid === null
      ? []
      : [`udp sport 67 udp dport 68 ct state established counter accept comment "dhcp"`]),
    ...families(policy).flatMap(({ ip, own, egress }) => [
      ...policy.listen.map(
        ({ protocol, ports, text }) =>
          `${ip} daddr ${own} ${protocol} dport ${renderPorts(ports)} ct state new,established ct direction original counter accept comment "listen ${text}"`,
      ),
      ...egress.map(
        ({ protocol, ports, to, text }) =>
          `${ip} daddr ${own} ${ip} saddr ${to.address}/${to.prefix} ${protocol} sport ${renderPorts(ports)} ct state established ct direction reply counter accept comment "egress ${text}"`,
      ),
    ]),
    ...(some ? ["icmp type destination-unreachable ct state related counter accept"] : []),
    ...(some && policy.ipv6.length > 0
      ? ["icmpv6 type { destination-unreachable, packet-too-big } ct state related counter accept"]
      : []),
    ...refusedRules("in"),
    'counter drop comment "refused: not granted"',
  ];
}

function output(policy: PortPolicy): readonly string[] {
  return [
    CAP,
    'oifname "lo" accept',
    `oifname != "${instrumentDevice}" drop`,
    // The kernel's own, which nobody asked for: it is no refusal.
    "icmpv6 type { 130-132, nd-router-solicit, 143 } drop",
    "ip protocol igmp drop",
    ...(policy.ipv6.length > 0 ? [`${ND} accept`] : []),
    ...(policy.dhcpUid === null
      ? []
      : [
          `meta skuid ${policy.dhcpUid} udp sport 68 udp dport 67 counter accept comment "dhcp"`,
          // Nobody else speaks as the client does.
          `udp sport 68 counter drop comment "refused: not granted"`,
        ]),
    ...families(policy).flatMap(({ ip, own, egress }) => [
      ...policy.listen.map(
        ({ protocol, ports, text }) =>
          `${ip} saddr ${own} ${protocol} sport ${renderPorts(ports)} ct state established ct direction reply counter accept comment "listen ${text}"`,
      ),
      ...egress.map(
        ({ protocol, ports, to, text }) =>
          `${ip} saddr ${own} ${ip} daddr ${to.address}/${to.prefix} ${protocol} dport ${renderPorts(ports)} ct state new,established ct direction original counter accept comment "egress ${text}"`,
      ),
    ]),
    ...refusedRules("out"),
    'counter drop comment "refused: not granted"',
  ];
}

function families(policy: PortPolicy): readonly {
  readonly ip: "ip" | "ip6";
  readonly own: string;
  readonly egress: readonly EgressFlow[];
}[] {
  const of = (family: "ipv4" | "ipv6") => ({
    ip: family === "ipv4" ? ("ip" as const) : ("ip6" as const),
    own: renderSet(policy[family]),
    egress: policy.egress.filter((flow) => flow.to.family === family),
  });
  return [...(policy.ipv4.length > 0 ? [of("ipv4")] : []), ...(policy.ipv6.length > 0 ? [of("ipv6")] : [])];
}
