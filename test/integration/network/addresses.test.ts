/** Addresses: by DHCP from the segment's own server, checked and set by warden; a device of the host's given and returned. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@bulkhead/testkit";
import { startListener } from "../../../packages/testkit/src/listener-process.ts";
import { LAN4, listen, makeNetworkStand, reach, until } from "./network-stand.ts";

test("an address by DHCP is asked for, checked, and set with its rules", async () => {
  await using stand = await makeNetworkStand();
  const { network } = stand;
  const port = await stand.connect({ instrument: "pot", address: "dhcp", listen: ["tcp/2200"] });
  const observe = async () => {
    const found = await stand.observe();
    return found.ports.find((p) => p.instrument === "pot");
  };
  await using serverHeld = new AsyncDisposableStack();
  serverHeld.use(await dnsmasq(stand.lan.name, stand.directory, "192.0.2.60,192.0.2.69"));
  await until("it has an address", async () => {
    const found = await observe();
    if (found?.state === "broken") await network.connectPort(port);
    return (found?.addresses.length ?? 0) > 0;
  });
  const address = (await observe())?.addresses[0] ?? "";
  assert.match(address, /^192\.0\.2\.6[0-9]\/24$/);
  assert.equal((await observe())?.state, "connected");
  const { stdout } = await runCommand("ip", ["-n", stand.namespace("pot"), "addr", "show", "eth0"]);
  assert.match(stdout, /valid_lft \d+sec/);
  await using potHeld = new AsyncDisposableStack();
  potHeld.use(await listen(stand.namespace("pot"), [2200]));
  assert.equal(await reach(stand.lan.name, address.split("/")[0] ?? "", 2200), "open here");
});

test("a dedicated device goes in with its address, and back down and without it", async () => {
  await using stand = await makeNetworkStand();
  // The stand's device is the segment's: it is given back first.
  await stand.network.removeSegment("dmz");
  const address = { addresses: ["192.0.2.10/24", "2001:db8::10/64"], gateways: [LAN4] };
  const nic = { instrument: "own", device: stand.device, address, policy: "dd" };
  const observe = async () => (await stand.observe([nic])).nics;
  await using undo = new AsyncDisposableStack();
  undo.defer(() => stand.network.returnNic("own"));
  await stand.network.giveNic(nic);
  assert.deepEqual(await observe(), [
    {
      instrument: "own",
      device: stand.device,
      state: "given",
      policy: "dd",
      addresses: ["192.0.2.10/24", "2001:db8::10/64"],
      noLease: null,
    },
  ]);
  const own = stand.namespace("own");
  {
    await using ownHeld = new AsyncDisposableStack();
    ownHeld.use(await listen(own, [2300]));
    assert.equal(await reach(stand.lan.name, "192.0.2.10", 2300), "open here");
    assert.equal(await reach(stand.lan.name, "2001:db8::10", 2300), "open here");
  }
  await runCommand("ip", ["-n", own, "addr", "flush", "dev", "eth0"]);
  assert.equal((await observe())[0]?.state, "broken");
  await stand.network.giveNic(nic);
  assert.equal((await observe())[0]?.state, "given");
  await stand.network.returnNic("own");
  const { stdout } = await runCommand("ip", ["addr", "show", "dev", stand.device]);
  assert.doesNotMatch(stdout, /inet|,UP|alias/);
  assert.deepEqual(await observe(), []);
  const { stdout: names } = await runCommand("ip", ["netns", "list"]);
  assert.doesNotMatch(names, new RegExp(stand.slug));
});

async function dnsmasq(namespace: string, directory: string, range: string): Promise<AsyncDisposable> {
  const options = ["--port=0", "--interface=lan0", "--bind-interfaces", "--user=root", "--no-ping"];
  return startListener({
    argv: [
      "dnsmasq",
      "--keep-in-foreground",
      "--log-facility=-",
      "--conf-file=/dev/null",
      "--pid-file=",
      ...options,
      `--dhcp-range=${range},255.255.255.0,2m`,
      `--dhcp-leasefile=${join(directory, "leases")}`,
    ],
    namespace,
    isReady: (line) => line.includes("DHCP, sockets bound") || line.includes("DHCP, IP range"),
    stopSignal: "SIGTERM",
  });
}
