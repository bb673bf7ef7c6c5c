import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { packetAllowance, packetExcess, parsePacketTable, parsePacketUse } from "./packet-sockets.ts";

const TABLE = `sk               RefCnt Type Proto  Iface R Rmem   User   Inode
00000000a6948370 3      3    0003   1     1 0      0      391298
00000000a6948378 3      3    0003   2     1 0      1000   391299
`;
const RING =
  "p_raw 0 0 *:mon0 * ino:391298 sk:9 ver:2 cpy_thresh:0 flags( running auxdata ) " +
  "ring_rx(blk_size:1048576,blk_nr:34,frm_size:1600,frm_nr:2000,tmo:10,features:0x0) " +
  "skmem:(r0,rb212992,t0,tb212992,f0,w0,o136,bl0,d0)\n";

suite("packet sockets", () => {
  test("the kernel's table names each socket", () => {
    assert.deepEqual(parsePacketTable(TABLE), ["391298", "391299"]);
    assert.deepEqual(parsePacketTable("sk RefCnt\n"), []);
  });

  test("rings of both directions and the buffer count", () => {
    assert.deepEqual(parsePacketUse(RING), { sockets: 1, memoryBytes: 34 * 2 ** 20 + 212_992 });
    assert.deepEqual(parsePacketUse(RING + RING.replace("ring_rx", "ring_tx")).sockets, 2);
    assert.deepEqual(parsePacketUse("\n"), { sockets: 0, memoryBytes: 0 });
  });

  test("what is over the allowance is named", () => {
    const allowed = packetAllowance({ memoryBytes: 128 * 2 ** 20 });
    assert.equal(packetExcess(allowed, allowed), null);
    assert.equal(packetExcess({ sockets: 33, memoryBytes: 0 }, allowed), "33 packet sockets, of 32");
    assert.equal(
      packetExcess({ sockets: 1, memoryBytes: 2 ** 31 }, allowed),
      "2048 MiB of packet rings and buffers, of 32",
    );
    assert.equal(packetAllowance({ memoryBytes: 2 ** 20 }).memoryBytes, 16 * 2 ** 20);
  });
});
