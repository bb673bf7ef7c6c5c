/** Masses of connections end at the instrument's own bound, and are counted against it alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { runCommand } from "@bulkhead/testkit";
import { asInstrument, LAN4, listen, makeNetworkStand, reach } from "./network-stand.ts";

const BOUND = 4_096;
const TRIES = 9_000;

/** Each datagram goes to another port, and is a connection of its own to the kernel. */
const FLOOD = `
const { createSocket } = require("node:dgram");
const socket = createSocket("udp4");
const tries = Number(process.argv[1]);
const hosts = process.argv.slice(2);
let left = tries, next = 0;
socket.on("error", () => undefined);
const send = () => {
  const index = next++;
  if (index >= tries) return;
  socket.send("x", 20000 + Math.floor(index / hosts.length), hosts[index % hosts.length], () => {
    if (--left === 0) { console.log("done"); process.exit(); }
    send();
  });
};
socket.bind(0, () => { for (let i = 0; i < 64; i += 1) send(); });
`;

async function tracked(namespace: string): Promise<number> {
  const file = "/proc/sys/net/netfilter/nf_conntrack_count";
  return Number((await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "cat", file])).stdout);
}

test("an instrument's flood of connections fills its own share, and nobody else's", async () => {
  await using stand = await makeNetworkStand();
  await stand.connect({ instrument: "pot", egress: [`udp/${LAN4}:20000-32000`] });
  await stand.connect({
    instrument: "by",
    address: { addresses: ["192.0.2.11/24"], gateways: [] },
    listen: ["tcp/2200"],
  });
  const [pot, by] = [stand.namespace("pot"), stand.namespace("by")];
  await using held = new AsyncDisposableStack();
  held.use(await listen(by, [2200]));
  const before = await tracked(by);

  const argv = [process.execPath, "-e", FLOOD, String(TRIES), "127.0.0.1", LAN4];
  await runCommand("nsenter", [...asInstrument(pot, argv)], { timeoutMs: 60_000 });

  const count = await tracked(pot);
  // A connection that is being dropped is still counted for a moment.
  assert.ok(count > BOUND / 2 && count <= BOUND + 64, `${count} connections are tracked`);
  assert.ok((await tracked(by)) <= before + 8);
  assert.equal(await reach(stand.lan.name, "192.0.2.11", 2200), "open here");
  const [report] = await stand.network.report(stand.ports);
  const refused = report?.counts.find(
    ({ direction, rule }) => direction === "out" && rule === "refused: too many connections",
  );
  assert.ok((refused?.packets ?? 0) > 0, JSON.stringify(report?.counts));
});
