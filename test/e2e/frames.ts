/**
 * Frames that the end-to-end tests send, as hex from the destination address on. Pure.
 */

const TARGET = "020000000001";
const SOURCE = "020000000002";

/** A UDP datagram that the stand's rule alerts on; `number` is its source port. */
export function markFrame(number: number): string {
  const payload = Buffer.from("bulkhead-mark");
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(number, 0);
  udp.writeUInt16BE(9999, 2);
  udp.writeUInt16BE(8 + payload.length, 4);
  return ethernet("0800", Buffer.concat([ipv4Header(17, 8 + payload.length), udp, payload]));
}

/** An Ethernet frame, filled up to 60 bytes. */
export function ethernet(type: string, payload: Buffer): string {
  return `${TARGET}${SOURCE}${type}${payload.toString("hex")}`.padEnd(120, "0");
}

/** An IPv4 header with a right checksum; 10.20.30.1 to 10.20.30.2. `fragment` is the raw field: flags and offset. */
export function ipv4Header(protocol: number, payloadBytes: number, fragment = 0): Buffer {
  const header = Buffer.alloc(20);
  header[0] = 0x45;
  header.writeUInt16BE(20 + payloadBytes, 2);
  header.writeUInt16BE(fragment, 6);
  header[8] = 64;
  header[9] = protocol;
  header.set([10, 20, 30, 1], 12);
  header.set([10, 20, 30, 2], 16);
  let sum = 0;
  for (let at = 0; at < 20; at += 2) sum += header.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  header.writeUInt16BE(~sum & 0xffff, 10);
  return header;
}
