/**
 * Frames sent from the port's own side by root of the host, past the instrument's layer: the segment's layer takes
 * the honest ones and drops those with another MAC, IPv4, ARP or neighbour discovery address.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { buildPacketTools, runCommand, sendRawFrames, startRawReceiver } from "@bulkhead/testkit";
import { LAN4, makeNetworkStand } from "./network-stand.ts";
import { arpFrame, neighbourFrame, udpFrame } from "./spoofed-frames.ts";

const OWN6 = "20010db8000000000000000000000010";
const OTHER6 = "20010db8000000000000000000000066";
const OTHER_MAC = "02:66:66:66:66:66";

test("spoofed frames stay at the port, honest ones pass", async () => {
  await using stand = await makeNetworkStand();
  await stand.connect({ instrument: "pot", egress: [`udp/${LAN4}:53`] });
  const tools = await buildPacketTools();
  const pot = stand.namespace("pot");
  const mac = await macOf(pot);
  const lanMac = (await stand.lan.ip("-j", "link", "show", "lan0")).match(/"address":"([^"]+)"/)?.[1] ?? "";
  const own = { mac, ip: "192.0.2.10" };
  const lan = { mac: lanMac, ip: LAN4 };
  const honest = {
    arp: arpFrame(mac, own, "192.0.2.77"),
    udp: udpFrame(mac, own.ip, lan, 53),
    solicit: neighbourFrame("solicit", mac, OWN6, OTHER6, mac),
    advert: neighbourFrame("advert", mac, OWN6, OWN6, mac),
  };
  const spoofed = {
    "another MAC": udpFrame(OTHER_MAC, own.ip, lan, 53),
    "another IPv4": udpFrame(mac, "192.0.2.66", lan, 53),
    "an undeclared port": udpFrame(mac, own.ip, lan, 5353),
    "ARP of another IPv4": arpFrame(mac, { mac, ip: "192.0.2.66" }, "192.0.2.77"),
    "ARP of another MAC": arpFrame(mac, { mac: OTHER_MAC, ip: own.ip }, "192.0.2.77"),
    "solicitation of another IPv6": neighbourFrame("solicit", mac, OTHER6, OTHER6, mac),
    "solicitation of another MAC": neighbourFrame("solicit", mac, OWN6, OTHER6, OTHER_MAC),
    "advertisement of another target": neighbourFrame("advert", mac, OWN6, OTHER6, mac),
    "advertisement of another MAC": neighbourFrame("advert", mac, OWN6, OWN6, OTHER_MAC),
  };
  const received = async (): Promise<ReadonlySet<string>> => {
    const receiver = await startRawReceiver({ tools, namespace: stand.lan.name, device: "lan0" });
    const frames = [...Object.values(spoofed), ...Object.values(honest)];
    await sendRawFrames({ tools, namespace: pot, device: "eth0", frames });
    return new Set(await receiver.stop());
  };

  const seen = await received();
  for (const [what, frame] of Object.entries(honest)) assert.ok(seen.has(frame), `${what} passes`);
  for (const [what, frame] of Object.entries(spoofed)) assert.ok(!seen.has(frame), `${what} is dropped`);

  // The control: without the layer, each of them is on the segment.
  const segment = `${stand.slug}-seg_dmz`;
  await runCommand("nsenter", [`--net=/run/netns/${segment}`, "--", "nft", "flush", "ruleset"]);
  const open = await received();
  for (const [what, frame] of Object.entries(spoofed)) assert.ok(open.has(frame), `${what} passes unguarded`);
});

async function macOf(namespace: string): Promise<string> {
  const { stdout } = await runCommand("ip", ["-n", namespace, "-j", "link", "show", "eth0"]);
  return stdout.match(/"address":"([^"]+)"/)?.[1] ?? "";
}
