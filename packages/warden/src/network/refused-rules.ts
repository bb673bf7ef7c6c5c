/**
 * A small record of what was refused last, kept by the kernel: sets of protocol, addresses and port that forget after
 * an hour, each entry with a counter. Bounded: a full set takes no more, and the frame is counted and dropped alike.
 */
export const REFUSED_TIMEOUT_S = 3600;
const SIZE = 128;

export type RefusedDirection = "in" | "out";

export function refusedSets(): readonly string[] {
  return (["in", "out"] as const).flatMap((direction) =>
    [
      ["4", "ipv4_addr"],
      ["6", "ipv6_addr"],
    ].map(
      ([family, type]) =>
        `  set refused_${direction}${family} { type inet_proto . ${type} . ${type} . inet_service; flags dynamic,timeout; timeout ${REFUSED_TIMEOUT_S}s; size ${SIZE}; counter; }`,
    ),
  );
}

/** To stand before the drop. A protocol without ports matches none of them and is only counted. */
export function refusedRules(direction: RefusedDirection): readonly string[] {
  return [
    `ip protocol { tcp, udp } update @refused_${direction}4 { ip protocol . ip saddr . ip daddr . th dport }`,
    `ip6 nexthdr { tcp, udp } update @refused_${direction}6 { ip6 nexthdr . ip6 saddr . ip6 daddr . th dport }`,
  ];
}
