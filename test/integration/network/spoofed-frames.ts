/** Frames that an instrument's port must not send, and their honest likes, as hex. Pure. */

export interface Sender {
  readonly mac: string;
  readonly ip: string;
}

const BROADCAST = "ffffffffffff";

/** Who-has, from `ether` in the frame and `sender` in the message. */
export function arpFrame(ether: string, sender: Sender, target: string): string {
  const body = `0001080006040001${hexMac(sender.mac)}${hexIpv4(sender.ip)}000000000000${hexIpv4(target)}`;
  return frame(BROADCAST, ether, "0806", Buffer.from(body, "hex"));
}

/** A UDP datagram without payload. */
export function udpFrame(
  ether: string,
  from: string,
  to: { readonly mac: string; readonly ip: string },
  port: number,
): string {
  const udp = Buffer.alloc(8);
  udp.writeUInt16BE(40_000, 0);
  udp.writeUInt16BE(port, 2);
  udp.writeUInt16BE(8, 4);
  const header = Buffer.from(`4500001c0000000040110000${hexIpv4(from)}${hexIpv4(to.ip)}`, "hex");
  header.writeUInt16BE(checksum(header), 10);
  return frame(hexMac(to.mac), ether, "0800", Buffer.concat([header, udp]));
}

/** Neighbour solicitation or advertisement (RFC 4861, sections 4.3 and 4.4) with the option of the link-layer address. */
export function neighbourFrame(
  kind: "solicit" | "advert",
  ether: string,
  source: string,
  target: string,
  optionMac: string,
): string {
  const solicit = kind === "solicit";
  const destination = "ff020000000000000000000000000001";
  const message = Buffer.from(
    `${solicit ? "87" : "88"}000000${solicit ? "00000000" : "20000000"}${target}${solicit ? "01" : "02"}01${hexMac(optionMac)}`,
    "hex",
  );
  const pseudo = Buffer.from(`${source}${destination}000000200000003a`, "hex");
  message.writeUInt16BE(checksum(Buffer.concat([pseudo, message])), 2);
  const header = Buffer.from(`6000000000203aff${source}${destination}`, "hex");
  return frame("333300000001", ether, "86dd", Buffer.concat([header, message]));
}

function frame(to: string, from: string, type: string, payload: Buffer): string {
  return `${to}${hexMac(from)}${type}${payload.toString("hex")}`;
}

function hexMac(mac: string): string {
  return mac.replaceAll(":", "");
}

function hexIpv4(ip: string): string {
  return ip
    .split(".")
    .map((byte) => Number(byte).toString(16).padStart(2, "0"))
    .join("");
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}
