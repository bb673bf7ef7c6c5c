/**
 * Leases over their life, with a server that lies: renewed, changed, refused by warden, run out and asked for again. A
 * capture is the witness of what the instrument's port said meanwhile.
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { capture, runCommand } from "@bulkhead/testkit";
import { type DhcpWord, startDhcpLiar } from "./dhcp-liar.ts";
import { LAN4, listen, makeNetworkStand, reach, until } from "./network-stand.ts";

const WORD: DhcpWord = { address: "192.0.2.60", mask: "255.255.255.0", router: LAN4, leaseS: 600 };

test("a lease that is renewed, changed, a lie, and lost", async (t) => {
  await using stand = await makeNetworkStand();
  const { network } = stand;
  await using liar = await startDhcpLiar(stand.lan.name, LAN4);
  await stand.connect({ instrument: "two", address: { addresses: ["192.0.2.50/24"], gateways: [] } });
  const port = await stand.connect({
    instrument: "pot",
    address: "dhcp",
    listen: ["tcp/2200"],
    networks: ["192.0.2.0/24"],
  });
  const pot = stand.namespace("pot");
  await using potHeld = new AsyncDisposableStack();
  potHeld.use(await listen(pot, [2200]));
  const file = join(stand.directory, "leases.pcap");
  await using watch = await capture({ namespace: stand.lan.name, device: "lan0", file });
  const noLease = async () => (await stand.observe()).ports.find((p) => p.instrument === "pot")?.noLease;
  /** As warden holds it: what is not as it should be is set. */
  const has = (...addresses: readonly string[]) =>
    until(`pot has ${addresses.join(" ") || "no address"}`, async () => {
      const found = (await stand.observe()).ports.find((p) => p.instrument === "pot");
      if (found?.state === "broken") await network.connectPort(port);
      return found?.state === "connected" && found.addresses.join(" ") === addresses.join(" ");
    });
  const open = async (host: string): Promise<boolean> =>
    (await reach(stand.lan.name, host, 2200)) === "open here";

  await t.test("asked for and taken, by a client that holds two capabilities and no more", async () => {
    assert.equal(await noLease(), "no server has answered yet");
    liar.say(WORD);
    await has("192.0.2.60/24");
    assert.equal(await noLease(), null);
    assert.ok(await open("192.0.2.60"));
    const status = await readFile(`/proc/${await clientPid(pot)}/status`, "utf8");
    assert.match(status, /Uid:\t65534\t65534\t65534\t65534\n/);
    assert.match(status, /CapPrm:\t0000000000002400\n/);
    assert.match(status, /CapBnd:\t0000000000002400\n/);
    assert.match(status, /NoNewPrivs:\t1\n/);
  });

  await t.test("renewed: the address lives longer, and nothing else is touched", async () => {
    liar.say({ ...WORD, leaseS: 3600 });
    await renew(pot);
    await until("it lives longer", async () => (await validS(pot)) > 600);
    assert.equal(await stand.state("pot"), "connected");
  });

  await t.test(
    "another address at the renewal: taken with its rules, and the former one is gone",
    async () => {
      liar.say({ ...WORD, address: "192.0.2.61" });
      await renew(pot);
      await has("192.0.2.61/24");
      assert.ok(await open("192.0.2.61"));
      assert.ok(!(await open("192.0.2.60")));
    },
  );

  await t.test("another instrument's address at the renewal: none at all", async () => {
    liar.say({ ...WORD, address: "192.0.2.50" });
    await renew(pot);
    await has();
    assert.equal(await noLease(), "192.0.2.50 is another instrument's address");
    assert.ok(!(await open("192.0.2.61")));
  });

  await t.test("an address outside of the segment: none either", async () => {
    liar.say({ ...WORD, address: "198.51.100.7", router: "198.51.100.1" });
    await until(
      "the lie is seen",
      async () => (await noLease()) === "198.51.100.7 lies in no network of the segment",
    );
    await has();
  });

  await t.test("a server that tells the truth again is believed again", async () => {
    liar.say(WORD);
    await has("192.0.2.60/24");
  });

  await t.test("no answer to a renewal in time: the address goes, and comes with the server", async () => {
    liar.say(null);
    // The second order to renew, as the end of the lease, gives the address up.
    await renew(pot);
    await renew(pot);
    await has();
    liar.say({ ...WORD, address: "192.0.2.62" });
    await has("192.0.2.62/24");
    assert.ok(await open("192.0.2.62"));
  });

  await t.test("a refusal of the server takes the address back", async () => {
    liar.say("nak");
    await renew(pot);
    await has();
  });

  await watch.stop();
  const mac = (await runCommand("ip", ["-n", pot, "-j", "link", "show", "eth0"])).stdout.match(
    /"address":"([^"]+)"/,
  )?.[1];
  const said = (what: string) => runCommand("tcpdump", ["-n", "-r", file, `ether src ${mac} and (${what})`]);
  assert.notEqual((await said("src host 192.0.2.60")).stdout, "", "the control");
  assert.equal((await said("src host 192.0.2.50 or src host 198.51.100.7")).stdout, "");
  const granted = "(tcp and src port 2200) or arp or (udp and src port 68 and dst port 67)";
  assert.equal((await said(`not (${granted})`)).stdout, "");
});

async function clientPid(namespace: string): Promise<number> {
  const { stdout } = await runCommand("ip", ["netns", "pids", namespace]);
  for (const pid of stdout.split("\n").filter(Boolean)) {
    const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
    if (name === "udhcpc\n") return Number(pid);
  }
  throw new Error("no client");
}

/** What half of the lease's time does: the client asks its server again. */
async function renew(namespace: string): Promise<void> {
  process.kill(await clientPid(namespace), "SIGUSR1");
}

async function validS(namespace: string): Promise<number> {
  const { stdout } = await runCommand("ip", ["-n", namespace, "addr", "show", "eth0"]);
  return Number(/valid_lft (\d+)sec/.exec(stdout)?.[1] ?? 0);
}
