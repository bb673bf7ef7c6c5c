/** A segment with and without a VLAN: what is made of it, and what is missing; and what a kernel without VLANs says. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commands } from "../commands.ts";
import type { Device } from "../datapath/namespace.ts";
import { WardenError } from "../error.ts";
import { canMakeVlans } from "./segment.ts";
import { segmentState, uplinkLines } from "./segment-shape.ts";

const counts = { packets: 0, bytes: 0, dropped: 0, errors: 0 };
const device = (ifname: string, more: Partial<Device> = {}): Device => ({
  ...{ ifindex: 2, ifname, flags: ["UP"], mtu: 1500, operstate: "UP", link_type: "ether", addr_info: [] },
  stats64: { rx: counts, tx: counts },
  ...more,
});
const words = (vlan: number | null, devices: readonly Device[] = []) =>
  uplinkLines(vlan, devices).map((line) => line.join(" "));

test("the bridge's way out is the device, or a VLAN device over it that is made once", () => {
  assert.deepEqual(words(null), [
    "link set dev up0 arp off",
    "link set dev up0 master br0",
    "link set dev up0 up",
    "link set dev up0 up",
  ]);
  const tagged = words(20);
  assert.deepEqual(tagged.slice(1, 3), [
    "link add link up0 name vl0 type vlan id 20",
    "link set dev vl0 master br0",
  ]);
  assert.ok(!tagged.includes("link set dev up0 master br0"), "untagged frames stay off the bridge");
  assert.deepEqual(
    words(20, [device("vl0")]),
    tagged.filter((line) => !line.startsWith("link add")),
  );
});

test("ready is a bridge with its way out; without the device, or the VLAN device, it waits", () => {
  const bridge = device("br0");
  const out = device("up0", { master: "br0" });
  const tagged = device("vl0", { master: "br0" });
  assert.equal(segmentState({ vlan: null }, [bridge, out], true), "ready");
  assert.equal(segmentState({ vlan: 20 }, [bridge, device("up0"), tagged], true), "ready");
  assert.equal(segmentState({ vlan: 20 }, [bridge, device("up0")], true), "waiting");
  assert.equal(segmentState({ vlan: 20 }, [bridge, out, device("vl0")], true), "incomplete");
  assert.equal(segmentState({ vlan: null }, [bridge], false), "waiting");
  assert.equal(segmentState({ vlan: null }, [bridge, device("up0", { flags: [] })], true), "incomplete");
  assert.equal(segmentState({ vlan: null }, [], true), "incomplete");
});

test("whether the kernel makes VLAN devices is tried: its refusal is an answer, anything else is a failure", async () => {
  const commands = (code: "command-failed" | "command-missing" | null): Commands => ({
    run: () =>
      code === null ? Promise.resolve({ stdout: "" }) : Promise.reject(new WardenError(code, "not today")),
  });
  assert.equal(await canMakeVlans(commands(null)), true);
  assert.equal(await canMakeVlans(commands("command-failed")), false);
  await assert.rejects(canMakeVlans(commands("command-missing")), { code: "command-missing" });
});
