/**
 * Probe frames: the packets of a DNS query and of an HTTP request that a rule of the bench raises an alert for. Pure.
 *
 * Each carries a name of its own, by which its alert is known again. Checksums are right, ports differ, so that each
 * probe is a flow of its own. RFC 791, 768, 9293, 1035.
 */

export interface ProbeFrames {
  readonly frames: readonly Buffer[];
  /** Index of the frame that carries what the rule looks for. */
  readonly marked: number;
}

export const PROBE_KINDS = ["dns", "http"] as const;
export type ProbeKind = (typeof PROBE_KINDS)[number];

/** Rules that fire on probes, for Suricata 7. */
export const PROBE_RULES = `# One alert for each probe of the bench.
alert dns any any -> any any (msg:"BENCH probe by DNS"; dns.query; content:".probe.bench.example"; nocase; endswith; sid:9000101; rev:1;)
alert http any any -> any any (msg:"BENCH probe by HTTP"; flow:established,to_server; http.uri; content:"/probe/"; startswith; sid:9000102; rev:1;)
`;

const CLIENT = [10, 20, 30, 40] as const;
const SERVER = [203, 0, 113, 53] as const;
const ACK = 0x10;
const PSH_ACK = 0x18;
const SYN = 0x02;

/** @param name letters, digits and hyphens; @param port the client's */
export function probeFrames(kind: ProbeKind, name: string, port: number): ProbeFrames {
  return kind === "dns" ? { frames: [dnsQuery(name, port)], marked: 0 } : httpRequest(name, port);
}

/** The probes that a text mentions, such as an alert: the names that were given. */
export function probeNames(text: string): readonly string[] {
  return Array.from(text.matchAll(/\b(bhp-[0-9a-z]+-\d+)\b/g), ([, name]) => name ?? "");
}

function dnsQuery(name: string, port: number): Buffer {
  const labels = `${name}.probe.bench.example`.split(".").map((label) => {
    return Buffer.concat([Buffer.from([label.length]), Buffer.from(label, "ascii")]);
  });
  const header = Buffer.from([port >> 8, port & 0xff, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0]);
  const question = Buffer.concat([...labels, Buffer.from([0, 0, 1, 0, 1])]);
  const message = Buffer.concat([header, question]);
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(port, 0);
  udp.writeUInt16BE(53, 2);
  udp.writeUInt16BE(8 + message.length, 4);
  return frame(true, 17, checksummed(true, 17, Buffer.concat([udp, message]), 6));
}

/** Handshake, request, and the server's answer: only what the server acknowledged is looked at. */
function httpRequest(name: string, port: number): ProbeFrames {
  const request = Buffer.from(
    `GET /probe/${name} HTTP/1.1\r\nHost: bench.example\r\nUser-Agent: probe\r\n\r\n`,
  );
  const reply = Buffer.from("HTTP/1.1 204 No Content\r\n\r\n");
  const client = { port, out: true } as const;
  const server = { port, out: false } as const;
  const none = Buffer.alloc(0);
  const frames = [
    segment(client, SYN, 1000, 0, none),
    segment(server, SYN | ACK, 5000, 1001, none),
    segment(client, ACK, 1001, 5001, none),
    segment(client, PSH_ACK, 1001, 5001, request),
    segment(server, PSH_ACK, 5001, 1001 + request.length, reply),
    segment(client, ACK, 1001 + request.length, 5001 + reply.length, none),
  ];
  return { frames, marked: 3 };
}

function segment(
  { port, out }: { readonly port: number; readonly out: boolean },
  flags: number,
  sequence: number,
  acknowledged: number,
  data: Buffer,
): Buffer {
  const tcp = Buffer.alloc(20);
  tcp.writeUInt16BE(out ? port : 80, 0);
  tcp.writeUInt16BE(out ? 80 : port, 2);
  tcp.writeUInt32BE(sequence, 4);
  tcp.writeUInt32BE(acknowledged, 8);
  tcp[12] = 5 << 4;
  tcp[13] = flags;
  tcp.writeUInt16BE(65_535, 14);
  return frame(out, 6, checksummed(out, 6, Buffer.concat([tcp, data]), 16));
}

/** Ethernet and IPv4 around it, padded to the least length of a frame. */
function frame(out: boolean, protocol: number, payload: Buffer): Buffer {
  const ip = Buffer.from([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, ...addresses(out)]);
  ip.writeUInt16BE(20 + payload.length, 2);
  ip.writeUInt16BE(checksum(ip), 10);
  const macs = [
    [0x02, 0xbd, 0, 0, 0, 1],
    [0x02, 0xbd, 0, 0, 0, 2],
  ] as const;
  const [to, from] = out ? [macs[1], macs[0]] : macs;
  const whole = Buffer.concat([Buffer.from([...to, ...from, 0x08, 0]), ip, payload]);
  return whole.length >= 60 ? whole : Buffer.concat([whole, Buffer.alloc(60 - whole.length)]);
}

function checksummed(out: boolean, protocol: number, payload: Buffer, at: number): Buffer {
  const pseudo = Buffer.from([...addresses(out), 0, protocol, payload.length >> 8, payload.length & 0xff]);
  payload.writeUInt16BE(checksum(Buffer.concat([pseudo, payload])), at);
  return payload;
}

function addresses(out: boolean): readonly number[] {
  return out ? [...CLIENT, ...SERVER] : [...SERVER, ...CLIENT];
}

/** RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
