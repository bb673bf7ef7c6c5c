/**
 * Rules of the egress namespace, as one nft table of ours. Pure.
 *
 * Invariants: everything is dropped that is not said here; nothing comes in but answers; only the proxy's own user
 * sends, and only TCP to the ports that the site's list names, and questions to the site's DNS servers. Private and
 * special addresses are dropped here too, so that a proxy that is taken over gains nothing by resolving as it likes.
 */
import { type AddressFamily, parseIp } from "@bulkhead/schema";
import type { Table } from "../network/ruleset.ts";

export const EGRESS_TABLE: Table = { family: "inet", name: "bulkhead_egress" };

export interface EgressRules {
  /** Of the proxy. */
  readonly uid: number;
  /** Of the DHCP client; null where the address is static. */
  readonly dhcpUid: number | null;
  readonly dns: readonly string[];
  /** With prefix lengths. */
  readonly private: readonly string[];
  readonly ports: readonly number[];
}

/**
 * Special-purpose IPv4 networks (IANA registry, RFC 6890) that are not globally reachable, multicast and reserved. The
 * proxy refuses by ipaddr.js, which knows further ones; this is the outer bound.
 */
const SPECIAL_IPV4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
] as const;
/** 6to4 and Teredo carry IPv4 addresses; documentation. All outside of 2000::/3 is dropped by what is not said. */
const SPECIAL_IPV6 = ["2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"] as const;

export function renderEgressRules({ uid, dhcpUid, dns, private: named, ports }: EgressRules): string {
  const tcp = ports.length === 0 ? [] : [`tcp dport { ${ports.join(", ")} }`];
  const ask = (["ipv4", "ipv6"] as const).flatMap((family) => {
    const servers = of(family, dns);
    if (servers.length === 0) return [];
    const to = `${word(family)} daddr { ${servers.join(", ")} }`;
    return [`${to} udp dport 53 counter accept`, `${to} tcp dport 53 counter accept`];
  });
  const exceptions = (["ipv4", "ipv6"] as const).flatMap((family) => {
    const networks = of(family, named);
    if (networks.length === 0) return [];
    return tcp.map((match) => `${word(family)} daddr @named_${family} ${match} counter accept`);
  });
  const lines = [
    // Replaced whole in one transaction: there is no moment without rules.
    `table inet ${EGRESS_TABLE.name}`,
    `delete table inet ${EGRESS_TABLE.name}`,
    `table inet ${EGRESS_TABLE.name} {`,
    ...namedSet("ipv4", of("ipv4", named)),
    ...namedSet("ipv6", of("ipv6", named)),
    "chain input {",
    "type filter hook input priority 0; policy drop;",
    "ct state established accept",
    // Without neighbour discovery there is no IPv6 on a wire; hop limit 255 says that it is from this wire.
    "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "counter",
    "}",
    "chain forward {",
    "type filter hook forward priority 0; policy drop;",
    "}",
    "chain output {",
    "type filter hook output priority 0; policy drop;",
    "ip6 hoplimit 255 icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    ...(dhcpUid === null ? [] : [`meta skuid ${dhcpUid} udp sport 68 udp dport 67 accept`]),
    // Also the kernel's own last segments of a connection, which belong to nobody any more.
    "ct state established accept",
    `meta skuid != ${uid} counter drop`,
    ...ask,
    ...exceptions,
    `ip daddr { ${SPECIAL_IPV4.join(", ")} } counter drop`,
    `ip6 daddr { ${SPECIAL_IPV6.join(", ")} } counter drop`,
    ...tcp.flatMap((match) => [
      `meta nfproto ipv4 ${match} counter accept`,
      `ip6 daddr 2000::/3 ${match} counter accept`,
    ]),
    "counter",
    "}",
    "}",
  ];
  return `${lines.join("\n")}\n`;
}

/** Networks may overlap in a site; a set merges them. */
function namedSet(family: AddressFamily, networks: readonly string[]): readonly string[] {
  if (networks.length === 0) return [];
  const type = family === "ipv4" ? "ipv4_addr" : "ipv6_addr";
  return [
    `set named_${family} {`,
    `type ${type}; flags interval; auto-merge;`,
    `elements = { ${networks.join(", ")} }`,
    "}",
  ];
}

function of(family: AddressFamily, texts: readonly string[]): readonly string[] {
  return texts.filter((text) => parseIp(text.split("/")[0] ?? "")?.family === family);
}

function word(family: AddressFamily): "ip" | "ip6" {
  return family === "ipv4" ? "ip" : "ip6";
}
