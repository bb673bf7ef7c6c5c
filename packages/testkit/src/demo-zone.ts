/**
 * The demo's DNS zone: what the authoritative server of `corp.example` answers to a question.
 *
 * Pure. Besides the named hosts it knows any number of hosts `host-N` and `edge-N.cdn`, with addresses that follow
 * from N, so that passive DNS has ever new names to record. Everything outside the zone is refused.
 */
import type { Answer, Question, RecordType } from "dns-packet";
import { FEED_ADDRESS, FEED_HOST } from "./demo-feed.ts";
import { DEMO_DOMAIN, demoTopology } from "./demo-topology.ts";

/** An answer of the zone; rcodes by RFC 1035 section 4.1.1. */
export interface ZoneReply {
  readonly rcode: "NOERROR" | "NXDOMAIN" | "REFUSED";
  readonly answers: readonly Answer[];
}

type ZoneRecord =
  | { readonly type: "A" | "AAAA" | "CNAME" | "PTR" | "NS"; readonly name: string; readonly data: string }
  | { readonly type: "TXT"; readonly name: string; readonly data: string }
  | {
      readonly type: "MX";
      readonly name: string;
      readonly data: { readonly preference: number; readonly exchange: string };
    };

const TTL_SECONDS = 300;
const { hosts } = demoTopology("zone");
const REVERSE_SUFFIX = ".in-addr.arpa";

const RECORDS: readonly ZoneRecord[] = [
  { type: "NS", name: DEMO_DOMAIN, data: `ns1.${DEMO_DOMAIN}` },
  { type: "MX", name: DEMO_DOMAIN, data: { preference: 10, exchange: `mail.${DEMO_DOMAIN}` } },
  { type: "TXT", name: DEMO_DOMAIN, data: "v=spf1 mx -all" },
  { type: "A", name: DEMO_DOMAIN, data: hosts.web.ipv4 },
  { type: "AAAA", name: DEMO_DOMAIN, data: hosts.web.ipv6 },
  ...addresses(`web.${DEMO_DOMAIN}`, hosts.web.ipv4, hosts.web.ipv6),
  ...addresses(`ns1.${DEMO_DOMAIN}`, hosts.dns.ipv4, hosts.dns.ipv6),
  ...addresses(`mail.${DEMO_DOMAIN}`, "10.20.30.25", "2001:db8:20::25"),
  { type: "CNAME", name: `www.${DEMO_DOMAIN}`, data: `web.${DEMO_DOMAIN}` },
  { type: "CNAME", name: `intranet.${DEMO_DOMAIN}`, data: `web.${DEMO_DOMAIN}` },
  { type: "PTR", name: `80.30.20.10${REVERSE_SUFFIX}`, data: `web.${DEMO_DOMAIN}` },
  { type: "PTR", name: `53.30.20.10${REVERSE_SUFFIX}`, data: `ns1.${DEMO_DOMAIN}` },
  { type: "PTR", name: `25.30.20.10${REVERSE_SUFFIX}`, data: `mail.${DEMO_DOMAIN}` },
];

/** Answers one question; a CNAME is followed inside the zone. */
export function answerQuestion(question: Pick<Question, "name" | "type">): ZoneReply {
  const name = question.name.toLowerCase().replace(/\.$/, "");
  if (!inZone(name) || question.type === "AXFR" || question.type === "IXFR")
    return { rcode: "REFUSED", answers: [] };
  const known = [...RECORDS.filter((record) => record.name === name), ...numberedRecords(name)];
  if (known.length === 0) return { rcode: "NXDOMAIN", answers: [] };
  return {
    rcode: "NOERROR",
    answers: follow(known, question.type).map((record) => ({ ...record, ttl: TTL_SECONDS })),
  };
}

/** The feed's own zone: its one name. */
export function answerFeedQuestion({ name, type }: Pick<Question, "name" | "type">): ZoneReply {
  if (name.toLowerCase().replace(/\.$/, "") !== FEED_HOST) return { rcode: "REFUSED", answers: [] };
  const address: Answer = { type: "A", name: FEED_HOST, data: FEED_ADDRESS, ttl: TTL_SECONDS };
  return { rcode: "NOERROR", answers: type === "A" ? [address] : [] };
}

function follow(known: readonly ZoneRecord[], type: RecordType): readonly ZoneRecord[] {
  const alias = known.find((record) => record.type === "CNAME");
  if (alias === undefined || type === "CNAME") return known.filter((record) => record.type === type);
  const target = RECORDS.filter((record) => record.name === alias.data && record.type === type);
  return [alias, ...target];
}

/** `host-7.corp.example` and `edge-7.cdn.corp.example`: one address of each family, from the number. */
function numberedRecords(name: string): readonly ZoneRecord[] {
  const match = /^(host|edge)-(\d{1,5})(\.cdn)?\.corp\.example$/.exec(name);
  if (match === null) return [];
  const number = Number(match[2]) % 65_536;
  const net = match[1] === "host" ? 21 : 22;
  return addresses(
    name,
    `10.${net}.${number >> 8}.${number & 255}`,
    `2001:db8:${net}::${number.toString(16)}`,
  );
}

function addresses(name: string, ipv4: string, ipv6: string): readonly ZoneRecord[] {
  return [
    { type: "A", name, data: ipv4 },
    { type: "AAAA", name, data: ipv6 },
  ];
}

function inZone(name: string): boolean {
  return (
    name === DEMO_DOMAIN || name.endsWith(`.${DEMO_DOMAIN}`) || name.endsWith(`.30.20.10${REVERSE_SUFFIX}`)
  );
}
