/**
 * The segment's side of a port: stateless rules on the bridge's end of the wire, in nft's own words. Pure.
 *
 * Invariants: what no rule accepts is dropped; the hooks are the device's own (netdev family), so that every frame
 * passes them before the bridge sees it and after the bridge is done with it. No connection tracking: a TCP answer is
 * told by its flags, a UDP answer by a set of those asked in the last minute. Fragments, extension headers of IPv6,
 * router advertisements, multicast listener reports and redirects are not accepted at all.
 */
import { type EgressFlow, type ListenFlow, type PortPolicy, renderPorts, renderSet } from "./port-policy.ts";
import { refusedRules, refusedSets } from "./refused-rules.ts";

const FAMILIES = [
  { ip: "ip", own: "ipv4", type: "ipv4_addr", known: "known4", proto: "ip protocol" },
  { ip: "ip6", own: "ipv6", type: "ipv6_addr", known: "known6", proto: "ip6 nexthdr" },
] as const;
type Family = (typeof FAMILIES)[number];

/** A segment of TCP other than the first of a connection. */
const NOT_FIRST = "tcp flags & (ack | rst) != 0";

/** Replaces the whole table of the port in one transaction. */
export function renderBridgeRules(device: string, policy: PortPolicy): string {
  return [
    `table netdev ${device}`,
    `delete table netdev ${device}`,
    `table netdev ${device} {`,
    ...FAMILIES.map(
      ({ known, type }) =>
        `  set ${known} { type ${type} . inet_service . inet_service; flags dynamic,timeout; timeout 1m; size 4096; }`,
    ),
    ...refusedSets(),
    "  chain from_instrument {",
    `    type filter hook ingress device "${device}" priority 0; policy drop;`,
    ...fromInstrument(policy).map((rule) => `    ${rule}`),
    "  }",
    "  chain to_instrument {",
    `    type filter hook egress device "${device}" priority 0; policy drop;`,
    ...toInstrument(policy).map((rule) => `    ${rule}`),
    "  }",
    "}",
    "",
  ].join("\n");
}

function fromInstrument(policy: PortPolicy): readonly string[] {
  const { mac, ipv4, ipv6, dhcpUid } = policy;
  return [
    `ether saddr != ${mac} ${drop("spoofed MAC address")}`,
    ...(ipv4.length > 0
      ? [
          `${ARP} operation { request, reply } arp saddr ether ${mac} arp saddr ip ${renderSet(ipv4)} ${accept("address resolution")}`,
        ]
      : []),
    `ether type arp ${drop("spoofed ARP")}`,
    ...(dhcpUid === null
      ? []
      : [
          `ip saddr ${renderSet(["0.0.0.0", ...ipv4])} ip daddr 255.255.255.255 udp sport 68 udp dport 67 ${accept("dhcp")}`,
        ]),
    `ip frag-off & 0x3fff != 0 ${drop("fragment")}`,
    ...(ipv6.length > 0
      ? [
          ...neighbour(ipv6, "nd-neighbor-solicit", `${ND} ip6 saddr ${renderSet(ipv6)}`, "0x01", mac),
          ...neighbour(
            ipv6,
            "nd-neighbor-advert",
            `${ND} ip6 saddr ${renderSet(ipv6)} @th,64,128 ${renderSet(ipv6.map(hex))}`,
            "0x02",
            mac,
          ),
        ]
      : []),
    `icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ${drop("spoofed neighbour discovery")}`,
    ...FAMILIES.flatMap((family) => {
      const own = policy[family.own];
      if (own.length === 0) return [];
      const from = `${family.ip} saddr ${renderSet(own)}`;
      return [
        `${isFamily(family)} ${family.ip} saddr != ${renderSet(own)} ${drop(`spoofed ${family.own === "ipv4" ? "IPv4" : "IPv6"} address`)}`,
        ...policy.listen.map((flow) => `${from} ${answer(flow, family)} ${accept(`listen ${flow.text}`)}`),
        ...egressOf(policy, family).map(
          (flow) => `${from} ${ask(flow, family)} ${accept(`egress ${flow.text}`)}`,
        ),
      ];
    }),
    ...(dhcpUid === null || ipv4.length === 0
      ? []
      : [`ip saddr ${renderSet(ipv4)} udp sport 68 udp dport 67 ${accept("dhcp")}`]),
    ...refusedRules("out"),
    drop("not granted"),
  ];
}

function toInstrument(policy: PortPolicy): readonly string[] {
  const { mac, instrumentsMac, ipv4, ipv6, dhcpUid } = policy;
  return [
    `ether saddr & ff:ff:ff:00:00:00 == ${instrumentsMac} ${drop("another instrument")}`,
    ...(ipv4.length > 0
      ? [
          `${ARP} operation { request, reply } arp daddr ip ${renderSet(ipv4)} ${accept("address resolution")}`,
        ]
      : []),
    ...(dhcpUid === null
      ? []
      : [
          `ether daddr ${renderSet([mac, "ff:ff:ff:ff:ff:ff"])} ip protocol udp udp sport 67 udp dport 68 ${accept("dhcp")}`,
        ]),
    ...(ipv6.length > 0
      ? [
          `${ND} icmpv6 type nd-neighbor-solicit @th,64,128 ${renderSet(ipv6.map(hex))} ${accept("neighbour discovery")}`,
          `${ND} icmpv6 type nd-neighbor-advert ip6 daddr ${renderSet(ipv6)} ${accept("neighbour discovery")}`,
        ]
      : []),
    // Flooded frames and multicast of the segment: nobody tried to reach this instrument.
    `ether daddr != ${mac} counter drop comment "not for it"`,
    `ip frag-off & 0x3fff != 0 ${drop("fragment")}`,
    ...FAMILIES.flatMap((family) => {
      const own = policy[family.own];
      if (own.length === 0) return [];
      const to = `${family.ip} daddr ${renderSet(own)}`;
      const unreachable =
        family.ip === "ip"
          ? "ip protocol icmp icmp type destination-unreachable"
          : "ip6 nexthdr icmpv6 icmpv6 type { destination-unreachable, packet-too-big }";
      return [
        ...policy.listen.map((flow) => `${to} ${asked(flow, family)} ${accept(`listen ${flow.text}`)}`),
        ...egressOf(policy, family).map(
          (flow) => `${to} ${answered(flow, family)} ${accept(`egress ${flow.text}`)}`,
        ),
        ...(policy.egress.length + policy.listen.length > 0
          ? [`${to} ${unreachable} ${accept("unreachable")}`]
          : []),
      ];
    }),
    ...refusedRules("in"),
    drop("not granted"),
  ];
}

const ARP = "arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp";
/** One hop, no extension header: RFC 4861, sections 7.1.1 and 7.1.2. */
const ND = "ip6 nexthdr icmpv6 ip6 hoplimit 255";

/** With the option of the link-layer address (RFC 4861, section 4.6.1), which must be the port's; or with none. */
function neighbour(
  own: readonly string[],
  type: string,
  match: string,
  option: string,
  mac: string,
): readonly string[] {
  const bits = `0x${mac.replaceAll(":", "")}`;
  if (own.length === 0) return [];
  return [
    `${match} ip6 length 32 icmpv6 type ${type} @th,192,8 ${option} @th,200,8 0x01 @th,208,48 ${bits} ${accept("neighbour discovery")}`,
    `${match} ip6 length 24 icmpv6 type ${type} ${accept("neighbour discovery")}`,
  ];
}

function egressOf(policy: PortPolicy, family: Family): readonly EgressFlow[] {
  return policy.egress.filter((flow) => flow.to.family === family.own);
}

/** From the instrument: the answer to whoever came to a port of its own. */
function answer({ protocol, ports }: ListenFlow, { ip, known, proto }: Family): string {
  return protocol === "tcp"
    ? `${proto} tcp tcp sport ${renderPorts(ports)} ${NOT_FIRST}`
    : `${proto} udp udp sport ${renderPorts(ports)} ${ip} daddr . udp dport . udp sport @${known}`;
}

/** From the instrument: to where it may go. */
function ask({ protocol, ports, to }: EgressFlow, { ip, known, proto }: Family): string {
  const there = `${proto} ${protocol} ${ip} daddr ${to.address}/${to.prefix} ${protocol} dport ${renderPorts(ports)}`;
  return protocol === "tcp" ? there : `${there} update @${known} { ${ip} daddr . udp dport . udp sport }`;
}

/** To the instrument: whoever comes to a port of its own. */
function asked({ protocol, ports }: ListenFlow, { ip, known, proto }: Family): string {
  const here = `${proto} ${protocol} ${protocol} dport ${renderPorts(ports)}`;
  return protocol === "tcp" ? here : `${here} update @${known} { ${ip} saddr . udp sport . udp dport }`;
}

/** To the instrument: the answer from where it went. */
function answered({ protocol, ports, to }: EgressFlow, { ip, known, proto }: Family): string {
  const there = `${proto} ${protocol} ${ip} saddr ${to.address}/${to.prefix} ${protocol} sport ${renderPorts(ports)}`;
  return protocol === "tcp"
    ? `${there} ${NOT_FIRST}`
    : `${there} ${ip} saddr . udp sport . udp dport @${known}`;
}

function isFamily({ ip }: Family): string {
  return `ether type ${ip}`;
}

function accept(comment: string): string {
  return `counter accept comment "${comment}"`;
}

function drop(comment: string): string {
  return `counter drop comment "refused: ${comment}"`;
}

/** `fe80::1` → 128 bits in hex, for a match by place in the message. */
function hex(address: string): string {
  const [head = "", tail] = address.split("::");
  const words = (text: string): readonly string[] => (text === "" ? [] : text.split(":"));
  const before = words(head);
  const after = words(tail ?? "");
  const zeros = tail === undefined ? [] : Array<string>(8 - before.length - after.length).fill("0");
  return `0x${[...before, ...zeros, ...after].map((word) => word.padStart(4, "0")).join("")}`;
}
