import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { findHeaderFault } from "./header-block.ts";

function faultOf(block: string): ReturnType<typeof findHeaderFault> {
  const data = Buffer.from(`before${block}after`, "latin1");
  return findHeaderFault(data, 6, 6 + block.length);
}

test("an emitter's headers pass", () => {
  assert.equal(faultOf("NATS/1.0\r\n\r\n"), null);
  assert.equal(
    faultOf(
      "NATS/1.0\r\nNats-Msg-Id: a-1\r\nce-id: a-1\r\nce-source: /lab/ids\r\nX: Nats-Rollup: all\r\n\r\n",
    ),
    null,
  );
  assert.equal(faultOf("NATS/1.0\r\nNats-Expected-Last-Sequence: 4\r\nempty:\r\n\r\n"), null);
});

test("headers that steer the broker do not", () => {
  for (const name of [
    "Nats-Rollup",
    "Nats-Trace-Dest",
    "Nats-Trace-Only",
    "Nats-Schedule-Target",
    "Nats-TTL",
    "Nats-Request-Info",
    "Nats-Msg-Id-2",
    "nats-msg-id",
    "NATS-ROLLUP",
    " Nats-Rollup",
    "\tNats-Rollup",
  ]) {
    assert.equal(faultOf(`NATS/1.0\r\na: b\r\n${name}: x\r\n\r\n`), "forbidden-header", name);
  }
});

test("what is not a header block is none", () => {
  for (const block of [
    "",
    "NATS/1.0\r\n",
    "NATS/2.0\r\n\r\n",
    "NATS/1.0 503\r\n\r\n",
    "NATS/1.0\n\n\r\n",
    "NATS/1.0\r\na: b\r\n",
    "NATS/1.0\r\nno colon\r\n\r\n",
    "NATS/1.0\r\n: no name\r\n\r\n",
    "NATS/1.0\r\na: b\nNats-Rollup: all\r\n\r\n",
    "NATS/1.0\r\na: b\rNats-Rollup: all\r\n\r\n",
    "NATS/1.0\r\n\r\nNats-Rollup: all\r\n\r\n",
  ]) {
    assert.equal(faultOf(block), "not-a-header-block", JSON.stringify(block));
  }
});

test("property: where the broker would find a steering header at a line's begin, it does not pass", () => {
  const piece = fc.constantFrom(
    "\r\n",
    "\r",
    "\n",
    "Nats-Rollup",
    "Nats-Trace-Dest",
    ": all",
    "a: b",
    " ",
    ":",
    "NATS/1.0",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
      const block = `NATS/1.0\r\n${parts.join("")}\r\n\r\n`;
      if (/\r\n(Nats-Rollup|Nats-Trace-Dest):/.test(block)) assert.notEqual(faultOf(block), null);
    }),
  );
});
