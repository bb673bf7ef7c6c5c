/**
 * Egress: how manifest and site name what an instrument may reach through the platform's proxy, the policy that
 * warden writes for the proxy, and the records that the proxy hands to sensord.
 *
 * Targets are exact: a host's name and a port. `host:port` is TLS, whose server name must be that host;
 * `http://host:port` is HTTP in the clear. No wildcard, no address, no path.
 */
import * as z from "zod";
import { Addressing, parseIp } from "./addressing.ts";
import { Name } from "./name.ts";
import { Size } from "./quantity.ts";

const TARGET_WORDS =
  "an exact host name and port, such as rules.example.net:443 (TLS) or http://mirror.example.net:80; no wildcard, no address, no path";
const PROXY_WORDS = "an HTTP proxy as http://HOST:PORT, HOST being a name or an address";
const PRIVATE_WORDS = "an address or network, such as 10.1.2.3, 10.1.0.0/24 or fd00:1::/64";

export interface ParsedTarget {
  readonly scheme: "tls" | "http";
  readonly host: string;
  readonly port: number;
}

/** `rules.example.net:443` → its parts, host in lower case; null for anything else. */
export function parseEgressTarget(text: string): ParsedTarget | null {
  const parts = /^(?<http>http:\/\/)?(?<host>[A-Za-z0-9.-]+):(?<port>[1-9][0-9]{0,4})$/.exec(text)?.groups;
  const host = parseHostName(parts?.["host"] ?? "");
  const port = Number(parts?.["port"]);
  if (parts === undefined || host === null || port > 65_535) return null;
  return { scheme: parts["http"] === undefined ? "tls" : "http", host, port };
}

/** The one way to write a target: what differs as text differs as a target. */
export function renderEgressTarget({ scheme, host, port }: ParsedTarget): string {
  return `${scheme === "http" ? "http://" : ""}${host}:${port}`;
}

/**
 * A DNS name in lower case (RFC 1123 section 2.1), or null. The last label is not a number, so that no text is both a
 * name and an address; no dot at the end, so that one host has one name.
 */
export function parseHostName(text: string): string | null {
  const name = text.toLowerCase();
  if (
    name.length > 253 ||
    !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/.test(name)
  )
    return null;
  return /(^|\.)(\d+|0x[0-9a-f]*)$/.test(name) ? null : name;
}

/** `http://proxy.example.net:3128` → its parts; null for anything else. */
export function parseUpstreamProxy(text: string): { readonly host: string; readonly port: number } | null {
  const parts =
    /^http:\/\/(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<host>[A-Za-z0-9.-]+)):(?<port>[1-9][0-9]{0,4})\/?$/.exec(
      text,
    )?.groups;
  if (parts === undefined) return null;
  const address = parseIp(parts["six"] ?? parts["host"] ?? "");
  const host = address?.address ?? parseHostName(parts["host"] ?? "");
  const port = Number(parts["port"]);
  return host === null || port > 65_535 ? null : { host, port };
}

const targetFault = (text: unknown): string =>
  typeof text === "string" && text.includes("*")
    ? `a wildcard is never granted; ${TARGET_WORDS}`
    : TARGET_WORDS;

export const EgressTarget = z
  .string()
  .refine((text) => parseEgressTarget(text) !== null, { error: (issue) => targetFault(issue.input) })
  .meta({ description: TARGET_WORDS });

const IpAddress = z
  .string()
  .refine((text) => parseIp(text) !== null, "an address such as 192.0.2.53 or 2001:db8::53")
  .meta({ description: "an address such as 192.0.2.53 or 2001:db8::53" });

const PrivateRange = z
  .string()
  .refine((text) => parsePrivateRange(text) !== null, PRIVATE_WORDS)
  .meta({ description: PRIVATE_WORDS });

/** `10.1.0.0/24` → `10.1.0.0/24`, `10.1.2.3` → `10.1.2.3/32`; null unless it is an address or network of one family. */
export function parsePrivateRange(text: string): string | null {
  const [address = "", length, ...rest] = text.split("/");
  const ip = parseIp(address);
  if (ip === null || rest.length > 0) return null;
  const most = ip.family === "ipv4" ? 32 : 128;
  if (length === undefined) return `${ip.address}/${most}`;
  if (!/^[1-9][0-9]{0,2}$/.test(length) || Number(length) > most) return null;
  return `${ip.address}/${length}`;
}

/** The keys of an interface of kind `egress` beside its device. */
export const EGRESS_INTERFACE = {
  vlan: z.int().min(1).max(4094).optional(),
  address: Addressing,
  /** Servers that the proxy asks; the host's own are never asked. */
  dns: z.array(IpAddress).max(3).default([]),
  /** Outer bound of what any instrument may be granted through this interface. */
  allow: z.array(EgressTarget).max(500).default([]),
  /** Addresses that names may lead to although they are private, loopback excepted. */
  private: z.array(PrivateRange).max(100).default([]),
  /** An HTTP proxy of the site, through which all connections then go. */
  proxy: z
    .string()
    .refine((text) => parseUpstreamProxy(text) !== null, PROXY_WORDS)
    .meta({ description: PROXY_WORDS })
    .optional(),
} as const;

/** What one instrument is granted of the proxy. Sizes are for one connection. */
export const EgressGrant = z.strictObject({
  through: Name,
  hosts: z.array(EgressTarget).min(1).max(200),
  limits: z
    .strictObject({
      sent: Size.optional(),
      received: Size.optional(),
      connections: z.int().min(1).max(256).optional(),
    })
    .optional(),
});
export type EgressGrant = z.infer<typeof EgressGrant>;

export const EGRESS_DEFAULTS = {
  sentBytes: 16 * 1024 * 1024,
  receivedBytes: 4 * 1024 * 1024 * 1024,
  connections: 16,
} as const;

/** What the proxy may do for one instrument. */
export const EgressPermit = z.strictObject({
  instrument: Name,
  targets: z.array(EgressTarget),
  sentBytes: z.int().positive(),
  receivedBytes: z.int().positive(),
  connections: z.int().positive(),
});
export type EgressPermit = z.infer<typeof EgressPermit>;

/** The file that warden writes and the proxy reads. */
export const EgressPolicy = z.strictObject({
  dns: z.array(IpAddress),
  private: z.array(PrivateRange),
  proxy: z.strictObject({ host: z.string(), port: z.int().min(1).max(65_535) }).nullable(),
  permits: z.array(EgressPermit),
});
export type EgressPolicy = z.infer<typeof EgressPolicy>;

/** Why the proxy refused something, or ended it before its time. */
export const EgressReason = z.enum([
  "address-refused",
  "bytes-exceeded",
  "connect-failed",
  "connect-timeout",
  "dns-failed",
  "ech-refused",
  "host-header-differs",
  "idle-timeout",
  "method-refused",
  "name-not-found",
  "not-granted",
  "not-tls",
  "records-full",
  "request-invalid",
  "revoked",
  "sni-differs",
  "sni-missing",
  "tls-hello-timeout",
  "tls-hello-too-long",
  "too-fast",
  "too-many-connections",
  "upstream-refused",
]);
export type EgressReason = z.infer<typeof EgressReason>;

/** One line of NDJSON to sensord: what happened to one connection. Never a path, a header or content. */
export const EgressRecord = z.strictObject({
  /** The same again is the same record. */
  id: z.uuid(),
  /** RFC 3339. */
  time: z.string().max(40),
  instrument: Name,
  state: z.enum(["opened", "closed", "refused"]),
  /** As asked for, cut to 300 characters; empty where the request did not parse. */
  host: z.string().max(300),
  port: z.int().min(0).max(65_535),
  /** What was connected to; empty where nothing was, or where an upstream proxy resolves. */
  address: z.string().max(60),
  sentBytes: z.int().min(0),
  receivedBytes: z.int().min(0),
  durationMs: z.int().min(0),
  reason: EgressReason.nullable(),
  /** Refusals of this instrument since the last record that were only counted. */
  unrecorded: z.int().min(0),
});
export type EgressRecord = z.infer<typeof EgressRecord>;

/** sensord's answer to a line: it is kept. */
export const EgressReceipt = z.strictObject({ kept: z.uuid() });

/** What the API tells of the proxy: who may reach what, by which line, and how it is. */
export const EgressStatus = z.strictObject({
  /** Null where nobody is granted anything through it. */
  interface: z
    .strictObject({
      name: Name,
      device: z.string(),
      state: z.enum(["open", "broken", "waiting"]),
      addresses: z.array(z.string()),
      dns: z.array(z.string()),
      /** `http://HOST:PORT`, or null. */
      proxy: z.string().nullable(),
    })
    .nullable(),
  permits: z.array(
    EgressPermit.omit({ targets: true }).extend({
      targets: z.array(z.strictObject({ target: EgressTarget, by: z.string() })),
    }),
  ),
});
export type EgressStatus = z.infer<typeof EgressStatus>;
