/** Requests to the kernel's network by netlink(7), with the kernel's answer. */
import type { Machine } from "../adversary/machine.ts";
import { bytes } from "./acts.ts";

const AF_NETLINK = 16;
const RAW = 3;
const NETFILTER = 12;
/** NFNL_SUBSYS_NFTABLES of <linux/netfilter/nfnetlink.h> */
const NFTABLES = 10;

/**
 * RTM_NEWLINK of a bridge `bhv0`, which every sensor's kernel can make (rtnetlink(7)): header, ifinfomsg, IFLA_IFNAME,
 * IFLA_LINKINFO{KIND}.
 */
export function newBridge(machine: Machine): string {
  const name = attribute(3, Buffer.from("bhv0\0"));
  const kind = attribute(18, attribute(1, Buffer.from("bridge\0")));
  return route(machine, 16, 0x605, bytes(16), Buffer.concat([name, kind]));
}

/** RTM_NEWLINK (16) or RTM_DELLINK (17) of a device that is there. `up`: IFF_UP is set so; left out: as it is. */
export function askLink(machine: Machine, type: 16 | 17, name: string, up?: boolean): string {
  // ifinfomsg: family, type, index, flags, mask of flags
  const flags = up === undefined ? bytes(16) : bytes(16, [8, 4, up ? 1 : 0], [12, 4, 1]);
  return route(machine, type, 0x5, flags, attribute(3, Buffer.from(`${name}\0`)));
}

/** RTM_NEWADDR or RTM_DELADDR of an IPv4 address, given as hex, with 24 bits of prefix. */
export function addAddress(machine: Machine, index: number, hex: string, add: boolean): string {
  // ifaddrmsg: family, prefix length, flags, scope, index
  const message = bytes(8, [0, 1, 2], [1, 1, 24], [4, 4, index]);
  const address = Buffer.from(hex, "hex");
  const attributes = Buffer.concat([attribute(2, address), attribute(1, address)]);
  return route(machine, add ? 20 : 21, add ? 0x605 : 0x5, message, attributes);
}

/** NFT_MSG_DELTABLE of a table of the family inet, in a batch of its own. */
export function deleteTable(machine: Machine, name: string): string {
  const nfgenmsg = (family: number, subsystem: number) => Buffer.from([family, 0, 0, subsystem]);
  const mark = (type: number) => message(type, 0x1, nfgenmsg(0, NFTABLES));
  const table = attribute(1, Buffer.from(`${name}\0`));
  const batch = Buffer.concat([
    mark(0x10),
    message((NFTABLES << 8) | 2, 0x5, Buffer.concat([nfgenmsg(1, 0), table])),
    mark(0x11),
  ]);
  return ask(machine, NETFILTER, batch);
}

function route(
  machine: Machine,
  type: number,
  flags: number,
  header: Uint8Array,
  attributes: Uint8Array,
): string {
  return ask(machine, 0, message(type, flags, Buffer.concat([header, attributes])));
}

function message(type: number, flags: number, content: Uint8Array): Buffer {
  // nlmsghdr: length, type, flags, sequence, port
  const header = bytes(16, [0, 4, 16 + content.length], [4, 2, type], [6, 2, flags], [8, 4, 1]);
  return Buffer.concat([header, content]);
}

function ask(machine: Machine, family: number, request: Buffer): string {
  const socket = machine.call("socket", AF_NETLINK, RAW, family);
  if (socket.errno !== null) return socket.errno;
  try {
    const sent = machine.call("sendto", socket.value, request, request.length, 0, 0, 0);
    if (sent.errno !== null) return sent.errno;
    const reply = Buffer.alloc(4096);
    // MSG_DONTWAIT: the kernel has answered by then.
    const received = machine.call("recvfrom", socket.value, reply, reply.length, 0x40, 0, 0);
    if (received.errno !== null) return received.errno;
    // NLMSG_ERROR (2): a negative errno, or 0 for "done".
    if (reply.readUInt16LE(4) !== 2) return "EPROTO";
    const code = -reply.readInt32LE(16);
    return code === 0 ? "done" : code === 1 ? "EPERM" : code === 95 ? "EOPNOTSUPP" : `E${code}`;
  } finally {
    machine.call("close", socket.value);
  }
}

function attribute(type: number, payload: Uint8Array): Buffer {
  const size = 4 + payload.length;
  const padded = Buffer.alloc((size + 3) & ~3);
  padded.writeUInt16LE(size, 0);
  padded.writeUInt16LE(type, 2);
  padded.set(payload, 4);
  return padded;
}
