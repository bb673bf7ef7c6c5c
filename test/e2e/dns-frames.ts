/** A DNS query and its answer as frames, for tools that look at names on the wire (RFC 1035). Pure. */
import { ethernet, ipv4Header } from "./frames.ts";

const CLIENT_PORT = 34_567;
const SERVER_PORT = 53;

/** Asks the A record of a name, and answers it. */
export function dnsFrames(
  name: string,
  address: readonly [number, number, number, number],
): readonly string[] {
  const question = Buffer.concat([encodeName(name), Buffer.from([0, 1, 0, 1])]);
  // Name by pointer to the question, type A, class IN, 300 s, 4 bytes.
  const answer = Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, ...address]);
  return [
    datagram(CLIENT_PORT, SERVER_PORT, Buffer.concat([header(0x0100, 0), question])),
    datagram(SERVER_PORT, CLIENT_PORT, Buffer.concat([header(0x8180, 1), question, answer])),
  ];
}

function header(flags: number, answers: number): Buffer {
  const bytes = Buffer.alloc(12);
  for (const [at, value] of [0x4242, flags, 1, answers].entries()) bytes.writeUInt16BE(value, 2 * at);
  return bytes;
}

function encodeName(name: string): Buffer {
  const labels = name
    .split(".")
    .map((label) => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]));
  return Buffer.concat([...labels, Buffer.from([0])]);
}

function datagram(from: number, to: number, payload: Buffer): string {
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(from, 0);
  udp.writeUInt16BE(to, 2);
  udp.writeUInt16BE(8 + payload.length, 4);
  const ip = ipv4Header(17, 8 + payload.length);
  // The answer goes the other way; the checksum does not mind the order of its words.
  if (from === SERVER_PORT) ip.set([...ip.subarray(16, 20), ...ip.subarray(12, 16)], 12);
  return ethernet("0800", Buffer.concat([ip, udp, payload]));
}
