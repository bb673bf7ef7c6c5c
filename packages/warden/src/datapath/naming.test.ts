import assert from "node:assert/strict";
import { test } from "node:test";
import { isWardenError } from "../error.ts";
import {
  checkedDevice,
  checkedName,
  engineTag,
  parseEngineTag,
  parseSpanTag,
  parseWireTag,
  renderSpanTag,
  renderWireTag,
  spanDeviceName,
  tapIndex,
  wireDeviceName,
} from "./naming.ts";

const tap = { engine: "capture", instrument: "ids" };

test("a wire's name fits the kernel and differs by installation, engine and instrument", () => {
  const names = [
    wireDeviceName("bulkhead", tap),
    wireDeviceName("bulkhead-b", tap),
    wireDeviceName("bulkhead", { ...tap, engine: "capture-2" }),
    wireDeviceName("bulkhead", { ...tap, instrument: "pdns" }),
  ];
  assert.equal(new Set(names).size, names.length);
  for (const name of names) assert.match(name, /^p[0-9a-f]{14}$/);
});

test("a tap's index stays clear of small indexes and fits 31 bits", () => {
  for (let n = 0; n < 200; n += 1) {
    const index = tapIndex("bulkhead", { engine: "capture", instrument: `i${n}` });
    assert.ok(Number.isInteger(index) && index >= 2 ** 30 && index < 2 ** 31, String(index));
  }
});

test("a span is called by its key unless the kernel or a wire would mind", () => {
  assert.equal(spanDeviceName("span0"), "span0");
  for (const key of ["lo", "a-rather-long-key", "p0123456789abcd"]) {
    assert.match(spanDeviceName(key), /^s[0-9a-f]{14}$/);
  }
});

test("tags come back as they went, and foreign ones are not taken", () => {
  const span = {
    slug: "bulkhead-x",
    ...tap,
    interface: "span0",
    device: "eth1.5",
    mtu: 1500,
    gro: "on",
  } as const;
  const { instrument: _, ...spanTag } = span;
  assert.deepEqual(parseSpanTag(renderSpanTag(spanTag)), spanTag);
  const wire = { slug: "bulkhead-x", ...tap, dropped: 3, guarded: 4 };
  assert.deepEqual(parseWireTag("bulkhead-x", renderWireTag(wire)), wire);
  assert.equal(parseWireTag("bulkhead", renderWireTag(wire)), null);
  assert.equal(parseEngineTag("bulkhead", engineTag("bulkhead", "x-capture")), "x-capture");
  assert.equal(parseEngineTag("bulkhead-x", engineTag("bulkhead", "x-capture")), null);
  assert.equal(parseSpanTag("uplink to core"), null);
  assert.equal(parseSpanTag(undefined), null);
});

test("what could be an option, a path or a second argument is no name", () => {
  for (const name of ["-x", "a b", "../x", "", "a".repeat(26), "x;y"]) {
    assert.throws(
      () => checkedName(name),
      (error) => isWardenError(error, "datapath-bad-name"),
    );
  }
  for (const device of ["-x", "a b", "../x", "", "a".repeat(16), "a/b"]) {
    assert.throws(
      () => checkedDevice(device),
      (error) => isWardenError(error, "datapath-bad-name"),
    );
  }
});
