import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { PacketWatch, type PacketWatchOptions } from "./packet-watch.ts";

const HEAD = "sk RefCnt Type Proto Iface R Rmem User Inode\n";
const socket = (inode: number): string => `0 3 3 0003 2 1 0 1000 ${inode}\n`;
const ring = (mib: number): string =>
  `p_raw 0 0 *:mon0 * ino:7 ring_rx(blk_size:1048576,blk_nr:${mib},frm_size:1600) skmem:(r0,rb0,t0)\n`;
const AMPLE = "MemTotal: 1000 kB\nMemAvailable: 900 kB\n";

function scene(ringMib: number) {
  const seen = { found: [] as string[], trouble: [] as string[], diagnoses: 0 };
  const host = { memory: AMPLE, sockets: socket(7) };
  const options: PacketWatchOptions = {
    users: () => [{ instrument: "ids", pid: 42, allowed: { sockets: 2, memoryBytes: 32 * 2 ** 20 } }],
    commands: {
      async run() {
        seen.diagnoses += 1;
        return { stdout: ring(ringMib) };
      },
    },
    read: async (path) => {
      if (path === "/proc/42/net/packet") return HEAD + host.sockets;
      if (host.memory === "") throw new Error("no such file");
      return host.memory;
    },
    onExcess: async (instrument, finding) => void seen.found.push(`${instrument}: ${finding}`),
    onTrouble: (subject) => void seen.trouble.push(subject),
  };
  return { watch: new PacketWatch(options), host, seen };
}

suite("packet watch", () => {
  test("a set of sockets that stays is diagnosed three times, and then rests", async () => {
    const { watch, seen } = scene(16);
    for (let look = 0; look < 6; look += 1) await watch.look();
    assert.deepEqual(seen, { found: [], trouble: [], diagnoses: 3 });
  });

  test("rings and sockets past the allowance are called out", async () => {
    const { watch, host, seen } = scene(64);
    await watch.look();
    host.sockets = socket(7) + socket(8) + socket(9);
    await watch.look();
    assert.deepEqual(seen.found, [
      "ids: 64 MiB of packet rings and buffers, of 32",
      "ids: 3 packet sockets, of 2",
    ]);
  });

  test("where the host's memory cannot be told it goes on, looks each time, and says so once", async () => {
    const { watch, host, seen } = scene(16);
    host.memory = "";
    for (let look = 0; look < 6; look += 1) await watch.look();
    assert.deepEqual(seen, { found: [], trouble: ["host"], diagnoses: 6 });
    host.memory = "MemTotal: 1000 kB\n";
    await watch.look();
    assert.deepEqual(seen.trouble, ["host"]);
    host.memory = AMPLE;
    await watch.look();
    host.memory = "";
    await watch.look();
    assert.deepEqual(seen.trouble, ["host", "host"]);
  });
});
