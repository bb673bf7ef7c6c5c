/**
 * The egress interface on a real kernel: its address by DHCP, kept, changed and lost; its rules flushed and put back; and
 * whoever takes the proxy over, with its user, in its namespace, reaches neither the host nor a segment's machine, even
 * where the site names their addresses.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { DesiredEgress } from "@bulkhead/core";
import { installationLayout } from "@bulkhead/schema";
import { capture, makeNamespace, type NetworkNamespace, runCommand, tryCommand } from "@bulkhead/testkit";
import { type Commands, hostCommands } from "../../../packages/warden/src/commands.ts";
import { type Egress, egress } from "../../../packages/warden/src/egress/egress.ts";
import { startDhcpLiar } from "../network/dhcp-liar.ts";
import { LAN4, listen, makeNetworkStand, reach, until } from "../network/network-stand.ts";

const GATEWAY = "93.184.215.1";
const WORD = { address: "93.184.215.60", mask: "255.255.255.0", router: GATEWAY, leaseS: 600 };
const PORT = 4430;

test("the egress interface", async (t) => {
  const hosts = Object.values(networkInterfaces()).flatMap((all) =>
    (all ?? []).flatMap((a) => (a.family === "IPv4" && !a.internal ? [a.address] : [])),
  );
  await using stand = await makeInterface(["192.0.2.0/24", ...hosts.map((host) => `${host}/32`)]);
  await using liar = await startDhcpLiar(stand.outside.name, GATEWAY);
  await using webHeld = new AsyncDisposableStack();
  webHeld.use(await listen(stand.outside.name, [PORT]));

  await t.test("an address by DHCP", async () => {
    liar.say(WORD);
    await stand.has("93.184.215.60/24");
    assert.equal(await reach(stand.namespace, GATEWAY, PORT), "open here");
  });

  await t.test("the host and a segment's machine are out of its reach", async () => {
    await using segment = await makeNetworkStand();
    await using machineHeld = new AsyncDisposableStack();
    machineHeld.use(await listen(segment.lan.name, [PORT]));
    const came: string[] = [];
    const host = createServer((socket) => {
      came.push(socket.localAddress ?? "");
      socket.end("here");
    });
    host.listen(PORT, "0.0.0.0");
    await once(host, "listening");
    const file = join(segment.directory, "egress.pcap");
    await using watch = await capture({ namespace: segment.lan.name, device: "lan0", file });
    const targets = [GATEWAY, LAN4, "127.0.0.1", ...hosts];
    const found = await Promise.all(targets.map((target) => reach(stand.namespace, target, PORT)));
    assert.equal(found[0], "open here", "the control");
    for (const [at, word] of found.entries()) if (at > 0) assert.doesNotMatch(word, /open/, targets[at]);
    assert.deepEqual(came, []);
    await watch.stop();
    const { stdout } = await runCommand("tcpdump", ["-n", "-r", file, "ip"]);
    assert.equal(stdout, "", "nothing came to the segment");
    host.close();
  });

  await t.test("flushed rules are missed and put back", async () => {
    await runCommand("ip", ["netns", "exec", stand.namespace, "nft", "flush", "ruleset"]);
    assert.equal((await stand.egress.observe(stand.wanted))?.state, "broken");
    await stand.egress.open(stand.step);
    assert.equal((await stand.egress.observe(stand.wanted))?.state, "open");
  });

  await t.test("another address at the renewal, and then none that it may have", async () => {
    liar.say({ ...WORD, address: "93.184.215.61" });
    await stand.askAgain();
    await stand.has("93.184.215.61/24");
    liar.say({ ...WORD, address: GATEWAY });
    await stand.askAgain();
    await stand.has();
    assert.match(await reach(stand.namespace, GATEWAY, PORT), /ENETUNREACH|silent/);
  });

  await t.test("the device comes back down and without addresses", async () => {
    await stand.egress.close();
    const { stdout } = await runCommand("ip", ["addr", "show", "dev", stand.wanted.device]);
    assert.doesNotMatch(stdout, /inet|,UP|alias/);
  });
});

interface InterfaceStand extends AsyncDisposable {
  readonly egress: Egress;
  readonly wanted: DesiredEgress;
  readonly step: Parameters<Egress["open"]>[0];
  readonly outside: NetworkNamespace;
  readonly namespace: string;
  /** Waits until it has these, set as warden sets what it finds missing. */
  has(...addresses: readonly string[]): Promise<void>;
  /** Lets the DHCP client ask at once. */
  askAgain(): Promise<void>;
}

async function makeInterface(named: readonly string[]): Promise<InterfaceStand> {
  const id = randomBytes(3).toString("hex");
  const device = `bheg${id}`;
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bheg-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  // An unprivileged client passes through it.
  await runCommand("chmod", ["0755", directory]);
  const outside = undo.use(await makeNamespace());
  undo.defer(async () => void (await tryCommand("ip", ["link", "del", "dev", device])));
  await runCommand("ip", [
    "link",
    "add",
    device,
    "type",
    "veth",
    "peer",
    "name",
    "out1",
    "netns",
    outside.name,
  ]);
  await outside.ip("addr", "add", `${GATEWAY}/24`, "dev", "out1");
  await outside.ip("link", "set", "out1", "up");
  const layout = {
    ...installationLayout(`eg${id}`),
    libDir: directory,
    egressDir: join(directory, "egress"),
  };
  const made = await egress({ commands: withAccount(layout.name), layout, onHint: () => undefined });
  undo.defer(() => made.close());
  const setup = {
    interface: "feeds",
    device,
    vlan: null,
    address: "dhcp" as const,
    dns: [],
    private: [...named],
    ports: [PORT],
    setup: "aa",
  };
  const wanted = {
    ...setup,
    policy: { dns: [], private: [], proxy: null, permits: [] },
    policyDigest: "bb",
  };
  const step = { kind: "egress.open" as const, target: "feeds", why: "a test", ...setup };
  await made.open(step);
  const namespace = `${layout.slug}-egress`;
  const owned = undo.move();
  return {
    egress: made,
    wanted,
    step,
    outside,
    namespace,
    has: (...addresses) =>
      until(`it has ${addresses.join(" ") || "no address"}`, async () => {
        const found = await made.observe(wanted);
        if (found?.state === "broken") await made.open(step);
        return found?.state === "open" && found.addresses.join(" ") === addresses.join(" ");
      }),
    async askAgain() {
      const { stdout } = await runCommand("ip", ["netns", "pids", namespace]);
      for (const pid of stdout.split("\n").filter(Boolean)) process.kill(Number(pid), "SIGUSR1");
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The host's programs; the account of the proxy, which set-up would have made, is that of `asInstrument`. */
function withAccount(installation: string): Commands {
  const host = hostCommands();
  const account = `x:x:65533:65533:Bulkhead installation ${installation}:/:/usr/sbin/nologin\n`;
  return {
    run: (argv, options) =>
      argv[0] === "getent" ? Promise.resolve({ stdout: account }) : host.run(argv, options),
  };
}
