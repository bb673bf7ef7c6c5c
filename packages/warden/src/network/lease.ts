/**
 * A DHCP lease as the client reports it, checked before anything is made of it. Pure.
 *
 * Invariants: what the server says is a stranger's word: only an IPv4 address that a device can have, in a network of
 * sane size, for a sane time, is a lease; everything else is refused with its reason, and nothing is set. Options other
 * than these (host names, routes, time servers, name servers) are not read.
 */
import { type IpRange, isWithin, parseInterfaceAddress, parseIp } from "@bulkhead/schema";
import * as z from "zod";

export interface Lease {
  readonly address: IpRange;
  readonly gateway: string | null;
  readonly server: string;
  readonly validS: number;
}

export type LeaseCheck =
  | { readonly ok: true; readonly lease: Lease }
  | { readonly ok: false; readonly reason: string };

/**
 * A longer one is cut, and renewed all the same. Of a shorter one udhcpc makes 122 s, and first asks again after 61 s:
 * the address would run out before, or stand on one question.
 */
const MIN_S = 120;
const MAX_S = 30 * 86_400;

const Ip = z.string().refine((text) => parseIp(text)?.family === "ipv4", "an IPv4 address");
/** What the reporting script prints: `event=… ip=… mask=…`, from udhcpc's environment. */
export const LeaseReport = z.object({
  event: z.enum(["deconfig", "bound", "renew", "leasefail", "nak"]),
  ip: Ip.optional(),
  /** Prefix length. */
  mask: z.coerce.number().int().min(8).max(30).optional(),
  /** The first counts. */
  router: z.string().max(200).optional(),
  serverid: Ip.optional(),
  lease: z.coerce.number().int().positive().optional(),
});
export type LeaseReport = z.infer<typeof LeaseReport>;

/** One line of `key=value` pairs, separated by tabs; null for anything else. Limited by the reader of lines. */
export function parseLeaseReport(line: string): LeaseReport | null {
  const pairs = line.split("\t").flatMap((pair) => {
    const at = pair.indexOf("=");
    return at < 1 || at === pair.length - 1 ? [] : [[pair.slice(0, at), pair.slice(at + 1)] as const];
  });
  const parsed = LeaseReport.safeParse(Object.fromEntries(pairs));
  return parsed.success ? parsed.data : null;
}

/** @param objection what this sensor has against the address: another instrument has it, or it lies elsewhere; or null */
export function checkLease(report: LeaseReport, objection: (address: IpRange) => string | null): LeaseCheck {
  const { ip, mask, router, serverid, lease } = report;
  if (ip === undefined || mask === undefined || serverid === undefined || lease === undefined) {
    return { ok: false, reason: "the lease lacks an address, a netmask, a server or a time" };
  }
  const address = parseInterfaceAddress(`${ip}/${mask}`);
  if (address === null) return { ok: false, reason: `${ip} is no address for a device` };
  if (isEdge(address)) return { ok: false, reason: `${ip} is its network's own or its broadcast address` };
  const against = objection(address);
  if (against !== null) return { ok: false, reason: against };
  if (ip === serverid) return { ok: false, reason: `${ip} is the server's own address` };
  const first = router?.split(" ")[0];
  if (lease < MIN_S) return { ok: false, reason: `a lease of ${lease} s is shorter than ${MIN_S} s` };
  const gateway = first === undefined ? null : parseIp(first);
  const reachable =
    gateway !== null && gateway.address !== ip && isWithin({ ...gateway, prefix: 32 }, address);
  // A gateway that cannot be reached is left out: the address is good without it.
  const value = { address, gateway: reachable ? gateway.address : null, server: serverid };
  return { ok: true, lease: { ...value, validS: Math.min(lease, MAX_S) } };
}

/** All bits of the host's part are zero, or all are one. */
function isEdge({ address, prefix }: IpRange): boolean {
  const size = 2 ** (32 - prefix);
  const host = address.split(".").reduce((whole, byte) => whole * 256 + Number(byte), 0) % size;
  return host === 0 || host === size - 1;
}
