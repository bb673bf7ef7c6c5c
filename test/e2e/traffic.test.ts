import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, sendRawFrames } from "@bulkhead/testkit";
import { oddFrames } from "../integration/datapath/odd-frames.ts";
import { countIn, floodFrom, inNamed, inNetworkOf, recordIn, run } from "./inside.ts";
import { FAR_END, makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE_LINE, idsLine } from "./stand-site.ts";

const RATE = 4_000;
const CHUNK = 1_000;

test("the copies that a running IDS gets are the frames of the network", async (t) => {
  await using stand = await makeSensorStand("e2e-traffic");
  await stand.apply(stand.siteText([ENGINE_LINE, idsLine("ids"), idsLine("other")].join("\n")));
  await stand.settled();
  await stand.alertFlows();

  await t.test("every frame arrives byte-identical and in order", () => arrivesWhole(stand));
  await t.test("other taps and tools come, change, stop and go: this tap loses nothing", () =>
    keepsAll(stand),
  );
  await t.test("a tap that left the site leaves no filter and no counter behind", () => leavesNothing(stand));
});

async function arrivesWhole(stand: SensorStand): Promise<void> {
  const frames = oddFrames();
  // Twice, so that order is held over more than one of each.
  const sent = [...frames, ...frames.toReversed()];
  await using recorder = await recordIn(inNetworkOf(await stand.initPid("ids")), stand.tools, "mon0");
  const place = { tools: stand.tools, namespace: stand.network.name, device: FAR_END };
  await sendRawFrames({ ...place, frames: sent.map(({ hex }) => hex) });
  const arrived = await recorder.stop();
  for (const [index, { what, hex }] of sent.entries()) assert.equal(arrived[index], hex, what);
  assert.equal(arrived.length, sent.length);
  await stand.alertFlows();
}

async function keepsAll(stand: SensorStand): Promise<void> {
  const usual = [ENGINE_LINE, idsLine("ids"), idsLine("other")];
  await using counter = await countIn(inNetworkOf(await stand.initPid("ids")), stand.tools, "mon0");
  const traffic = startTraffic(stand);
  try {
    await stand.apply(stand.siteText([...usual, idsLine("third", "udp")].join("\n")));
    await stand.apply(stand.siteText([...usual, idsLine("third", "greater 200")].join("\n")));
    await stand.apply(stand.siteText([ENGINE_LINE, idsLine("ids"), idsLine("other", "less 200")].join("\n")));
    await stand.order("restart", "other");
    await stand.order("stop", "other");
    await stand.order("start", "other");
    // Frozen, the tool of this very tap included: the copies go on into its network.
    for (const instrument of ["ids", "other"]) {
      const tool = await eventually(`Suricata runs in ${instrument}`, () =>
        stand.pidInside(instrument, /^\/usr\/bin\/suricata -c/).catch(() => null),
      );
      process.kill(tool, "SIGSTOP");
      const from = traffic.sent;
      await eventually("traffic while it is frozen", async () =>
        traffic.sent - from > 2 * CHUNK ? true : null,
      );
      process.kill(tool, "SIGCONT");
    }
  } finally {
    await traffic.stop();
  }
  const { received, unique, outOfOrder, duplicates, drops } = await counter.stop();
  assert.ok(traffic.sent > 10 * CHUNK, `${traffic.sent} frames sent meanwhile`);
  assert.deepEqual(
    { received, unique, outOfOrder, duplicates, drops },
    { received: traffic.sent, unique: traffic.sent, outOfOrder: 0, duplicates: 0, drops: 0 },
  );
  await stand.settled();
}

async function leavesNothing(stand: SensorStand): Promise<void> {
  await stand.apply(stand.siteText([ENGINE_LINE, idsLine("ids")].join("\n")));
  await stand.settled();
  const engine = inNamed(stand.engineNamespace);
  const filters = await run(engine, ["tc", "filter", "show", "dev", "span0", "ingress", "prio", "100"]);
  assert.equal(filters.match(/ handle /g)?.length, 1, filters);
  const actions = await run(engine, ["tc", "actions", "list", "action", "mirred"]);
  assert.equal(actions.match(/cookie/g)?.length, 1, actions);
  await stand.alertFlows();
}

/** Numbered frames at a steady rate, without a gap, until it is stopped. */
function startTraffic(stand: SensorStand): { readonly sent: number; stop(): Promise<void> } {
  const ending = new AbortController();
  const state = { sent: 0 };
  const running = (async () => {
    while (!ending.signal.aborted) {
      const options = ["--size", "300", "--rate", String(RATE), "--count", String(CHUNK)];
      const from = ["--first", String(state.sent)];
      state.sent += await floodFrom(inNamed(stand.network.name), stand.tools, FAR_END, [...options, ...from]);
    }
  })();
  return {
    get sent() {
      return state.sent;
    },
    async stop() {
      ending.abort();
      await running;
    },
  };
}
