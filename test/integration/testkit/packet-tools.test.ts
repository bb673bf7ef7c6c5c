/** The packet tools on a veth: what is sent is counted, loss, doubles and disorder are seen, odd frames come whole. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import {
  type NetworkNamespace,
  type PacketTools,
  type ReceiveReport,
  buildPacketTools,
  joinByVeth,
  makeNamespace,
  readCounters,
  sendFrames,
  sendRawFrames,
  startRawReceiver,
  startReceiver,
} from "@bulkhead/testkit";

const stack = new AsyncDisposableStack();
const bench: { left?: NetworkNamespace; right?: NetworkNamespace; tools?: PacketTools; directory?: string } =
  {};

before(async () => {
  bench.directory = await mkdtemp(join(tmpdir(), "bulkhead-tools-"));
  stack.defer(() => rm(bench.directory ?? "", { recursive: true, force: true }));
  bench.tools = await buildPacketTools(bench.directory);
  bench.left = stack.use(await makeNamespace());
  bench.right = stack.use(await makeNamespace());
  const ends = [bench.left, bench.right].map((namespace) => ({ namespace, device: "wire0" }));
  const [left, right] = ends;
  assert.ok(left !== undefined && right !== undefined);
  await joinByVeth(left, right, { mtu: 9_216 });
});

after(() => stack.disposeAsync());

function parts(): { readonly left: string; readonly right: string; readonly tools: PacketTools } {
  const { left, right, tools } = bench;
  if (left === undefined || right === undefined || tools === undefined) assert.fail("not set up");
  return { left: left.name, right: right.name, tools };
}

/** Receives on the right what `act` sends on the left. */
async function receive(act: () => Promise<unknown>, expect?: number): Promise<ReceiveReport> {
  const { right, tools } = parts();
  await using receiver = await startReceiver({
    tools,
    namespace: right,
    devices: ["wire0"],
    ...(expect === undefined ? {} : { expect }),
  });
  await act();
  const [report] = await receiver.stop();
  return report ?? assert.fail("no report");
}

test("a build is made once for each content", async () => {
  const { tools } = parts();
  assert.deepEqual(await buildPacketTools(bench.directory), tools);
  assert.equal((await readdir(bench.directory ?? "")).length, 3);
});

for (const size of [60, 61, 1_514, 9_000, "imix"] as const) {
  test(`frames of ${size} bytes all arrive, once and in order, as the kernel counts them`, async () => {
    const { left, right, tools } = parts();
    const before = await readCounters("wire0", right);
    let bytes = 0;
    const report = await receive(async () => {
      const sent = await sendFrames({
        tools,
        namespace: left,
        device: "wire0",
        size,
        count: 20_000,
        rate: 100_000,
      });
      assert.equal(sent.sent, 20_000);
      bytes = sent.bytes;
    }, 20_000);
    const { received, unique, lost, duplicates, outOfOrder, foreign } = report;
    assert.deepEqual(
      { received, unique, lost, duplicates, outOfOrder, foreign },
      { received: 20_000, unique: 20_000, lost: 0, duplicates: 0, outOfOrder: 0, foreign: 0 },
    );
    assert.equal(report.bytes, bytes);
    if (typeof size === "number") assert.equal(bytes, size * 20_000);
    else assert.equal(Math.round((bytes / 20_000) * 10) / 10, 357.8);
    assert.ok(report.latencyNs.p50 > 0 && report.latencyNs.p50 <= report.latencyNs.max);
    assert.equal((await readCounters("wire0", right)).rxPackets - before.rxPackets, 20_000);
  });
}

test("a rate is kept and never exceeded", async () => {
  const { left, tools } = parts();
  const sent = await sendFrames({
    tools,
    namespace: left,
    device: "wire0",
    size: 60,
    count: 1_000,
    rate: 2_000,
  });
  assert.ok(sent.seconds >= 0.49, `${sent.seconds} s`);
});

test("without a rate it is fast: no pacing holds it back", async () => {
  const { left, tools } = parts();
  const sent = await sendFrames({ tools, namespace: left, device: "wire0", size: 60, seconds: 0.2 });
  assert.ok(sent.pps > 150_000, `${sent.pps} frames a second`);
});

test("what is missing is counted as lost, at the end too; doubles and latecomers are told apart", async () => {
  const { left, tools } = parts();
  const place = { tools, namespace: left, device: "wire0", size: 60 } as const;
  const report = await receive(async () => {
    await sendFrames({ ...place, first: 0, count: 10 });
    await sendFrames({ ...place, first: 20, count: 10 });
    await sendFrames({ ...place, first: 12, count: 3 });
    await sendFrames({ ...place, first: 25, count: 5 });
  }, 40);
  const { received, unique, lost, duplicates, outOfOrder } = report;
  assert.deepEqual(
    { received, unique, lost, duplicates, outOfOrder },
    { received: 28, unique: 23, lost: 17, duplicates: 5, outOfOrder: 3 },
  );
});

test("a frame of somebody else is foreign and no loss", async () => {
  const { left, tools } = parts();
  const frames = [`${"ff".repeat(12)}88b5${"00".repeat(46)}`];
  const report = await receive(() => sendRawFrames({ tools, namespace: left, device: "wire0", frames }));
  const { received, foreign, unique, lost } = report;
  assert.deepEqual({ received, foreign, unique, lost }, { received: 1, foreign: 1, unique: 0, lost: 0 });
});

test("what a stopped receiver's ring has no room for is counted as its drops, exactly", async () => {
  const { left, right, tools } = parts();
  const count = 40_000;
  await using receiver = await startReceiver({
    tools,
    namespace: right,
    devices: ["wire0"],
    expect: count,
    ringMib: 2,
  });
  process.kill(receiver.pid, "SIGSTOP");
  try {
    await sendFrames({ tools, namespace: left, device: "wire0", size: 60, count });
  } finally {
    process.kill(receiver.pid, "SIGCONT");
  }
  const [report] = await receiver.stop();
  assert.ok(report !== undefined && report.drops > 0 && report.received > 0, JSON.stringify(report));
  assert.deepEqual(
    { sum: report.received + report.drops, lost: report.lost },
    { sum: count, lost: report.drops },
  );
});

test("odd frames come byte for byte and in order, VLAN tags where they were", async () => {
  const { left, right, tools } = parts();
  const addresses = "02bd0000000202bd00000001";
  const frames = [
    `${addresses}0800${"45".repeat(46)}`,
    `${addresses}8100006486dd${"60".repeat(60)}`,
    `${addresses}88a800c8810000640800${"45".repeat(46)}`,
    `${addresses}8100000008060001${"00".repeat(44)}`,
    `${addresses}0800`,
    `${addresses}05dc${"aa".repeat(1_500)}`,
    `0180c2000000${addresses.slice(12)}0026424203${"00".repeat(43)}`,
    `0180c200000102bd000000018808000100ff${"00".repeat(42)}`,
    `${"00".repeat(12)}ffff${"11".repeat(46)}`,
    `ffffffffffffffffffffffff0806${"22".repeat(46)}`,
    `${addresses}0800${"33".repeat(8_986)}`,
  ];
  await using receiver = await startRawReceiver({ tools, namespace: right, device: "wire0" });
  await sendRawFrames({ tools, namespace: left, device: "wire0", frames });
  assert.deepEqual(await receiver.stop(), frames);
});

test("a frame that the kernel refuses is an error that names its line", async () => {
  const { left, tools } = parts();
  const send = (frame: string): Promise<void> =>
    sendRawFrames({ tools, namespace: left, device: "wire0", frames: ["# a comment", frame] });
  await assert.rejects(send("02bd00"), /line 2: 3 bytes/);
  await assert.rejects(send("zz".repeat(60)), /line 2: not a frame in hex/);
  await assert.rejects(send("00".repeat(10_000)), /Message too long/);
});

test("a receiver on a device that is not there says so", async () => {
  const { right, tools } = parts();
  await assert.rejects(startReceiver({ tools, namespace: right, devices: ["nowhere"] }), {
    code: "testkit-tool-failed",
  });
});
