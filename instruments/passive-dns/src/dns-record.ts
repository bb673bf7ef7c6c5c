/**
 * DNS answers in an EVE record: from Suricata's `dns` event (version 2 of Suricata 6 and 7,
 * version 3 of Suricata 8) to the resource records that it tells of, normalised.
 *
 * Only answers that carry data count: what was asked, and names that do not exist, are no
 * resource records. The detailed form (`answers`) is taken where there is one, since it alone
 * names the owner of each record in a chain; else the grouped form, under the name asked for.
 */
import { isIPv6 } from "node:net";
import * as z from "zod";

/** One resource record as it was seen once. */
export interface SeenRecord {
  readonly rrname: string;
  readonly rrtype: string;
  readonly rdata: string;
}

const Text = z.string().max(70_000);
const Answer = z.looseObject({ rrname: Text, rrtype: Text, rdata: z.unknown().optional() });
const Dns = z.looseObject({
  type: z.string(),
  rcode: z.string().optional(),
  rrname: Text.optional(),
  rrtype: Text.optional(),
  rdata: z.unknown().optional(),
  queries: z.array(z.looseObject({ rrname: Text })).optional(),
  answers: z.array(Answer).max(1_000).optional(),
  grouped: z.record(z.string(), z.array(z.unknown()).max(1_000)).optional(),
});

/** What passive DNS needs of an EVE record; anything else in it is passed over. */
export const EveDns = z.looseObject({ event_type: z.literal("dns"), dns: Dns });
export type EveDns = z.infer<typeof EveDns>;

export function parseAnswers({ dns }: EveDns): readonly SeenRecord[] {
  if (dns.type !== "answer" && dns.type !== "response") return [];
  const asked = dns.rrname ?? dns.queries?.[0]?.rrname;
  if (dns.answers !== undefined)
    return distinct(dns.answers.flatMap((a) => seen(a.rrname, a.rrtype, a.rdata)));
  if (asked === undefined) return [];
  if (dns.grouped !== undefined) {
    return distinct(
      Object.entries(dns.grouped).flatMap(([type, data]) =>
        data.flatMap((rdata) => seen(asked, type, rdata)),
      ),
    );
  }
  // Version 1 wrote one record an event.
  return dns.rrtype === undefined ? [] : seen(asked, dns.rrtype, dns.rdata);
}

/** Lower case, without the root's dot; the root itself stays `.`. */
export function normaliseName(name: string): string {
  const lower = name.toLowerCase();
  return lower.length > 1 && lower.endsWith(".") ? lower.slice(0, -1) : lower;
}

/** One spelling for an address (RFC 5952) or name, so that a search finds each of its spellings. */
export function normaliseTerm(term: string): string {
  const text = term.trim();
  return isIPv6(text) ? normaliseIpv6(text) : normaliseName(text);
}

/** Types whose data is a name. */
const NAME_TYPES: ReadonlySet<string> = new Set(["CNAME", "NS", "PTR", "DNAME"]);

function seen(name: string, type: string, data: unknown): readonly SeenRecord[] {
  const rrtype = type.toUpperCase();
  const rdata = renderData(rrtype, data);
  const rrname = normaliseName(name);
  return rdata === null || rrname === "" ? [] : [{ rrname, rrtype, rdata }];
}

function renderData(rrtype: string, data: unknown): string | null {
  // Structured data (SOA, SRV, SSHFP): its values in the order of the zone file format, as the tool gives them.
  if (typeof data === "object" && data !== null) return JSON.stringify(data);
  if (typeof data !== "string" || data === "") return null;
  if (NAME_TYPES.has(rrtype)) return normaliseName(data);
  if (rrtype === "AAAA" && isIPv6(data)) return normaliseIpv6(data);
  return data;
}

/** The URL parser writes an address in the form of RFC 5952. */
function normaliseIpv6(address: string): string {
  const url = `http://[${address.replace(/%.*$/, "")}]/`;
  return URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : address.toLowerCase();
}

/** One event counts each record once, however often the answer repeats it. */
function distinct(records: readonly SeenRecord[]): readonly SeenRecord[] {
  const byKey = new Map(records.map((r) => [`${r.rrname}\0${r.rrtype}\0${r.rdata}`, r]));
  return [...byKey.values()];
}
