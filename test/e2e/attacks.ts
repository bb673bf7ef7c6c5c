/**
 * What an instrument that was taken over would try in order to get a frame out of its tap. Each attack is done for
 * what the attacker may do, and returns how many frames it is sure to have put onto its end of the wire.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type PacketTools, sendRawFrames } from "@bulkhead/testkit";
import { ipv4Header, markFrame } from "./frames.ts";
import { floodFrom, type Prefix, run, sendFrom } from "./inside.ts";
import { FAR_END, type SensorStand } from "./sensor-stand.ts";
import { ATTACK_TYPE, ATTACKER_IPV4, ATTACKER_IPV6, ATTACKER_MAC } from "./witness.ts";

const PROTECTED_MAC = "020000000002";
const BURST = 20;

/** Raw sockets of each kind: plain and past the queueing discipline, and frames as ARP, ND and replies have them. */
export async function sendRaw(attacker: Prefix, tools: PacketTools): Promise<number> {
  const burst = ["--count", String(BURST), "--size", "60"];
  const plain = await floodFrom(attacker, tools, "mon0", burst);
  const bypass = await floodFrom(attacker, tools, "mon0", [...burst, "--qdisc-bypass"]);
  const frames = forgedFrames();
  await sendFrom(attacker, tools, "mon0", frames);
  return plain + bypass + frames.length;
}

/** The kernel's own voice: ARP, neighbour discovery, router solicitation, ping, and answers to mirrored packets. */
export async function makeKernelSpeak(attacker: Prefix, stand: SensorStand): Promise<readonly string[]> {
  const ip = (...args: readonly string[]) => run(attacker, ["ip", ...args]);
  await run(attacker, ["tee", "/proc/sys/net/ipv6/conf/mon0/disable_ipv6"], "0");
  await ip("link", "set", "dev", "mon0", "arp", "on", "addrgenmode", "eui64");
  await ip("link", "set", "dev", "mon0", "down");
  // The address of a host of the protected network, which mirrored packets are for.
  await ip("link", "set", "dev", "mon0", "address", "02:00:00:00:00:01");
  await ip("link", "set", "dev", "mon0", "up");
  for (const address of [`${ATTACKER_IPV4}/24`, "10.20.30.2/24"])
    await ip("addr", "add", address, "dev", "mon0");
  await ip("-6", "addr", "add", `${ATTACKER_IPV6}/64`, "dev", "mon0");
  // A port that nobody listens on: the kernel answers with ICMP.
  const mirrored = [markFrame(700), markFrame(701), markFrame(702)];
  await sendRawFrames({
    tools: stand.tools,
    namespace: stand.network.name,
    device: FAR_END,
    frames: mirrored,
  });
  for (const target of ["192.0.2.1", "2001:db8::1", "ff02::1%mon0"]) {
    // Nobody answers, and ping says so with its exit code.
    await run(attacker, ["ping", "-n", "-c", "2", "-i", "0.3", "-W", "1", target]).catch(() => undefined);
  }
  // Router solicitations and duplicate address detection take their time (RFC 4861, 4862).
  await sleep(2_000);
  return mirrored;
}

/** Takes off what can be taken off from the inside, and goes around traffic control by an interface of its own. */
export async function undoFromInside(attacker: Prefix, tools: PacketTools): Promise<number> {
  const attempt = (...argv: readonly string[]) => run(attacker, argv).catch(() => undefined);
  await attempt("ip", "link", "set", "dev", "mon0", "xdp", "off");
  await attempt("tc", "qdisc", "del", "dev", "mon0", "clsact");
  await attempt("tc", "qdisc", "del", "dev", "mon0", "root");
  await run(attacker, ["ip", "link", "add", "name", "bypass", "type", "ifb"]);
  await run(attacker, ["ip", "link", "set", "dev", "bypass", "up"]);
  await run(attacker, ["tc", "qdisc", "add", "dev", "mon0", "clsact"]);
  const all = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"];
  const redirect = ["action", "mirred", "egress", "redirect", "dev", "bypass"];
  await run(attacker, ["tc", "filter", "add", "dev", "mon0", "egress", ...all, ...redirect]);
  const frames = forgedFrames();
  await sendFrom(attacker, tools, "mon0", frames);
  await attempt("ip", "link", "set", "dev", "mon0", "down");
  return frames.length;
}

/** Frames that only the attacker sends. */
export function forgedFrames(): readonly string[] {
  const reply = Buffer.concat([ipv4Header(17, 12), Buffer.from("270f0400000c000068656c6c", "hex")]);
  return [
    frame("ffffffffffff", "0806", `0001080006040001${ATTACKER_MAC}c0000242000000000000c0000201`),
    frame(
      "333300000002",
      "86dd",
      `6000000000103aff${"00".repeat(16)}ff02${"00".repeat(13)}0285000000${"00".repeat(4)}`,
    ),
    frame(
      "3333ff000001",
      "86dd",
      `6000000000183aff${"00".repeat(16)}ff02${"00".repeat(9)}01ff0000018700${"00".repeat(22)}`,
    ),
    frame(PROTECTED_MAC, "0800", reply.toString("hex")),
    frame("ffffffffffff", ATTACK_TYPE, ""),
  ];
}

function frame(target: string, type: string, payload: string): string {
  return `${target}${ATTACKER_MAC}${type}${payload}`.padEnd(120, "0");
}
