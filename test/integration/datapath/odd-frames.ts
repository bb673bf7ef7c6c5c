/**
 * Frames that copying must not change, lose or reorder, as hex: usual and unusual ones. Pure.
 */

/** A frame and what is special about it. */
export interface OddFrame {
  readonly what: string;
  readonly hex: string;
}

/** Every frame of this test set, each different from all others. */
export function oddFrames(): readonly OddFrame[] {
  const sizes = [60, 61, 64, 127, 128, 256, 512, 1000, 1500, 1514, 1518, 2000, 4096, 4110, 8000, 9000];
  return [
    ...sizes.map((size) => odd(`${size} bytes`, `${ether(0x0800)}${fill(size - 14, size)}`)),
    ...[14, 15, 20, 33, 42, 59].map((size) =>
      odd(`runt of ${size}`, `${ether(0x88b5)}${fill(size - 14, size)}`),
    ),
    odd("VLAN", `${addresses}8100${hex16(42)}0800${ipv4({ id: 1 })}${fill(64, 1)}`),
    odd("VLAN with priority", `${addresses}8100${hex16(0xe000 + 4094)}0800${ipv4({ id: 2 })}${fill(64, 2)}`),
    odd("VLAN 0", `${addresses}81000000${hex16(0x0800)}${ipv4({ id: 3 })}${fill(64, 3)}`),
    odd("VLAN, jumbo", `${addresses}810000070800${fill(9000 - 18, 4)}`),
    odd("QinQ", `${addresses}88a80064810000c80800${ipv4({ id: 5 })}${fill(64, 5)}`),
    odd("two 802.1Q tags", `${addresses}8100000a8100000b0800${ipv4({ id: 6 })}${fill(64, 6)}`),
    odd("three tags", `${addresses}88a8000181000002810000030800${ipv4({ id: 7 })}${fill(64, 7)}`),
    // Less, and the kernel's own VLAN code drops it before any hook (skb_vlan_untag).
    odd("a tag, a type and two bytes", `${addresses}810000050800beef`),
    odd("IPv6", `${ether(0x86dd)}${ipv6(17, 72)}${fill(72, 8)}`),
    odd("IPv6 neighbour solicitation", `3333ff00000102000000000186dd${ipv6(58, 32)}${fill(32, 9)}`),
    odd("IPv6 fragment", `${ether(0x86dd)}${ipv6(44, 72)}11000001000000ff${fill(64, 10)}`),
    odd("first fragment", `${ether(0x0800)}${ipv4({ id: 11, fragment: 0x2000 })}${fill(64, 11)}`),
    odd("last fragment", `${ether(0x0800)}${ipv4({ id: 11, fragment: 0x0008 })}${fill(40, 12)}`),
    odd("overlapping fragment", `${ether(0x0800)}${ipv4({ id: 11, fragment: 0x2001 })}${fill(64, 13)}`),
    odd("IPv4 of header length 0", `${ether(0x0800)}40${ipv4({ id: 14 }).slice(2)}${fill(64, 14)}`),
    odd(
      "IPv4 longer than the frame",
      `${ether(0x0800)}${ipv4({ id: 15, totalLength: 65535 })}${fill(64, 15)}`,
    ),
    odd("IPv4 with a bad checksum", `${ether(0x0800)}${ipv4({ id: 16, checksum: 0xdead })}${fill(64, 16)}`),
    odd("IP version 15", `${ether(0x0800)}f5${ipv4({ id: 17 }).slice(2)}${fill(64, 17)}`),
    odd("TTL 0", `${ether(0x0800)}${ipv4({ id: 18, ttl: 0 })}${fill(64, 18)}`),
    odd("ARP", `ffffffffffff02000000000108060001080006040001${fill(38, 19)}`),
    odd("spanning tree", `0180c2000000020000000001${hex16(39)}424203${fill(43, 20)}`),
    odd("LACP", `0180c20000020200000000018809${fill(110, 21)}`),
    odd("PAUSE", `0180c200000102000000000188080001ffff${fill(42, 22)}`),
    odd("LLDP", `0180c200000e02000000000188cc${fill(60, 23)}`),
    odd("802.3 with a length beyond the frame", `${addresses}05dc${fill(60, 24)}`),
    odd("source is all zeros", `0200000000020000000000000800${fill(60, 25)}`),
    odd("source is multicast", `0200000000020100000000010800${fill(60, 26)}`),
    odd("destination is all zeros", `0000000000000200000000010800${fill(60, 27)}`),
    odd("broadcast", `ffffffffffff0200000000010800${fill(60, 28)}`),
    odd("unknown protocol", `${ether(0xffff)}${fill(60, 29)}`),
    odd("MPLS", `${ether(0x8847)}00010140${ipv4({ id: 30 })}${fill(64, 30)}`),
    odd("GRE in IPv4", `${ether(0x0800)}${ipv4({ id: 31, protocol: 47 })}00000800${fill(64, 31)}`),
    odd("TCP with a bad checksum", `${ether(0x0800)}${ipv4({ id: 32, protocol: 6 })}${fill(64, 32)}`),
  ];
}

const addresses = "020000000002020000000001";

function odd(what: string, hex: string): OddFrame {
  return { what, hex };
}

function ether(protocol: number): string {
  return `${addresses}${hex16(protocol)}`;
}

/** Bytes that differ from frame to frame and within a frame. */
function fill(sizeBytes: number, seed: number): string {
  const bytes = Buffer.alloc(Math.max(0, sizeBytes));
  for (const index of bytes.keys()) bytes[index] = (index * 7 + seed * 31 + (index >> 8)) & 0xff;
  return bytes.toString("hex");
}

function ipv4(of: {
  readonly id: number;
  readonly fragment?: number;
  readonly totalLength?: number;
  readonly checksum?: number;
  readonly ttl?: number;
  readonly protocol?: number;
}): string {
  const header = Buffer.from("450000000000000040110000c0000201c0000202", "hex");
  header.writeUInt16BE(of.totalLength ?? 84, 2);
  header.writeUInt16BE(of.id, 4);
  header.writeUInt16BE(of.fragment ?? 0, 6);
  header.writeUInt8(of.ttl ?? 64, 8);
  header.writeUInt8(of.protocol ?? 17, 9);
  header.writeUInt16BE(of.checksum ?? internetChecksum(header), 10);
  return header.toString("hex");
}

function ipv6(nextHeader: number, payloadBytes: number): string {
  const header = Buffer.alloc(40);
  header.writeUInt8(0x60, 0);
  header.writeUInt16BE(payloadBytes, 4);
  header.writeUInt8(nextHeader, 6);
  header.writeUInt8(255, 7);
  header.write("20010db8000000000000000000000001ff020000000000000000000000000001", 8, "hex");
  return header.toString("hex");
}

/** RFC 1071, over bytes whose checksum field is 0 (or whose sum is to come out as 0). */
export function internetChecksum(bytes: Uint8Array, start = 0): number {
  let sum = start;
  for (let index = 0; index < bytes.length; index += 2) {
    sum += ((bytes[index] ?? 0) << 8) | (bytes[index + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

function hex16(value: number): string {
  return value.toString(16).padStart(4, "0");
}
