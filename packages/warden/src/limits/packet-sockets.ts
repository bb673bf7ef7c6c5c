/**
 * Packet sockets of an instrument, as the kernel tells them outside of it, and what the instrument may have of them.
 *
 * Invariants: pure. The memory of a packet ring is not charged to the container (net/packet/af_packet.c allocates it
 * without an account), and each socket takes time of whoever delivers frames: both can only be watched, since seccomp
 * does not see sizes. Filters on these sockets are denied by seccomp, so a socket's price is that of a copy.
 */
import type { InstrumentSpec } from "@bulkhead/schema";

export interface PacketUse {
  readonly sockets: number;
  /** Rings, and what may wait in the sockets' own buffers. */
  readonly memoryBytes: number;
}

/** A capture thread for each processor, and a control socket each; many more than a tool that reads one wire opens. */
const SOCKETS = 32;
const MIB = 2 ** 20;

/** A quarter of the instrument's memory again, at least 16 MiB. */
export function packetAllowance(spec: Pick<InstrumentSpec, "memoryBytes">): PacketUse {
  return { sockets: SOCKETS, memoryBytes: Math.max(16 * MIB, Math.floor(spec.memoryBytes / 4)) };
}

/** Inodes of /proc/PID/net/packet: a line of heading, then one a socket, the inode last (net/packet/af_packet.c). */
export function parsePacketTable(table: string): readonly string[] {
  return table
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/).at(-1) ?? "");
}

/** Reads `ss -0 -e -m -n -H -O`: one socket a line, with `ring_rx(blk_size:N,blk_nr:N,…)` and `skmem:(r0,rbN,…)`. */
export function parsePacketUse(text: string): PacketUse {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  let memoryBytes = 0;
  for (const line of lines) {
    for (const { groups } of line.matchAll(/ring_[rt]x\(blk_size:(?<size>\d+),blk_nr:(?<count>\d+),/g)) {
      memoryBytes += Number(groups?.["size"]) * Number(groups?.["count"]);
    }
    memoryBytes += Number(/skmem:\(r\d+,rb(?<buffer>\d+),/.exec(line)?.groups?.["buffer"] ?? 0);
  }
  return { sockets: lines.length, memoryBytes };
}

/** What is over the allowance, in plain words; null where nothing is. */
export function packetExcess(use: PacketUse, allowed: PacketUse): string | null {
  if (use.sockets > allowed.sockets) return `${use.sockets} packet sockets, of ${allowed.sockets}`;
  if (use.memoryBytes <= allowed.memoryBytes) return null;
  const mib = (bytes: number): number => Math.ceil(bytes / MIB);
  return `${mib(use.memoryBytes)} MiB of packet rings and buffers, of ${mib(allowed.memoryBytes)}`;
}
