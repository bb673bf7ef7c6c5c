import assert from "node:assert/strict";
import { test } from "node:test";
import { PROBE_KINDS, probeFrames, probeNames } from "./probe-frames.ts";

test("a query carries its name, label by label, from the client to port 53", () => {
  const { frames, marked } = probeFrames("dns", "bhp-abc-7", 10_007);
  const [query] = frames;
  assert.deepEqual([frames.length, marked], [1, 0]);
  assert.ok(query?.includes(Buffer.from("\tbhp-abc-7\u0005probe\u0005bench\u0007example\0")));
  assert.deepEqual([query?.readUInt16BE(34), query?.readUInt16BE(36)], [10_007, 53]);
});

test("a request comes after its handshake, and its answer after it", () => {
  const { frames, marked } = probeFrames("http", "bhp-abc-7", 10_007);
  assert.deepEqual([frames.length, marked], [6, 3]);
  assert.ok(frames[marked]?.includes("GET /probe/bhp-abc-7 HTTP/1.1\r\n"));
  assert.deepEqual(
    frames.map((each) => each[47]),
    [0x02, 0x12, 0x10, 0x18, 0x18, 0x10],
  );
});

test("checksums are those that a receiver computes", () => {
  for (const kind of PROBE_KINDS) {
    for (const frame of probeFrames(kind, "bhp-abc-12", 40_000).frames) {
      const total = frame.readUInt16BE(16);
      const payload = frame.subarray(34, 14 + total);
      const pseudo = Buffer.from([
        ...frame.subarray(26, 34),
        0,
        frame[23] ?? 0,
        payload.length >> 8,
        payload.length,
      ]);
      assert.equal(sum(frame.subarray(14, 34)), 0xffff, "IPv4");
      assert.equal(sum(Buffer.concat([pseudo, payload])), 0xffff, kind);
      assert.ok(frame.length >= 60);
    }
  }
});

test("an alert is known again by the probes that it names, and by nothing else", () => {
  const alert = `{"dns":{"query":[{"rrname":"bhp-0f-12.probe.bench.example"}]}}`;
  assert.deepEqual(probeNames(alert), ["bhp-0f-12"]);
  assert.deepEqual(probeNames(`{"http":{"url":"/probe/bhp-0f-1"}}`), ["bhp-0f-1"]);
  assert.deepEqual(probeNames(`{"rrname":"www.bench.example"}`), []);
});

/** Ones' complement sum over 16-bit words (RFC 1071); all ones over what holds its own checksum. */
function sum(bytes: Buffer): number {
  let total = 0;
  for (let at = 0; at < bytes.length; at += 2) total += ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >> 16);
  return total;
}
