import assert from "node:assert/strict";
import { test } from "node:test";
import { xdpDropObject } from "./xdp-drop.ts";

const bytes = Buffer.from(xdpDropObject());

/** Contents of a section, found the way a loader does: by the headers alone. */
function section(name: string): Buffer {
  const headersAt = Number(bytes.readBigUInt64LE(40));
  const header = (index: number) => bytes.subarray(headersAt + index * 64, headersAt + (index + 1) * 64);
  const contents = (of: Buffer) => {
    const at = Number(of.readBigUInt64LE(24));
    return bytes.subarray(at, at + Number(of.readBigUInt64LE(32)));
  };
  const names = contents(header(bytes.readUInt16LE(62)));
  for (let index = 1; index < bytes.readUInt16LE(60); index += 1) {
    const from = header(index).readUInt32LE(0);
    if (names.toString("latin1", from, names.indexOf(0, from)) === name) return contents(header(index));
  }
  throw new Error(`no section ${name}`);
}

test("the object is a relocatable ELF64 of the BPF machine", () => {
  assert.equal(bytes.toString("hex", 0, 7), "7f454c46020101");
  assert.equal(bytes.readUInt16LE(16), 1);
  assert.equal(bytes.readUInt16LE(18), 247);
});

test("the program is return XDP_DROP and nothing else", () => {
  assert.equal(section("xdp.frags").toString("hex"), "b7000000010000009500000000000000");
});

test("license and symbol are what a loader wants", () => {
  assert.equal(section("license").toString("latin1"), "GPL\0");
  const symbols = section(".symtab");
  assert.equal(symbols.length, 48);
  assert.equal(symbols.readUInt8(24 + 4), 0x12, "a global function");
  assert.equal(symbols.readUInt16LE(24 + 6), 1, "in the program's section");
  assert.equal(Number(symbols.readBigUInt64LE(24 + 16)), 16, "as long as the program");
  const name = symbols.readUInt32LE(24);
  const strings = section(".strtab");
  assert.equal(strings.toString("latin1", name, strings.indexOf(0, name)), "xdp_drop");
});
