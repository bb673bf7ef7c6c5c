/**
 * Passive DNS on a small volume that is full: new records push out the oldest, and cleaning works,
 * whether the store itself or something else filled the volume.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { runCommand } from "@bulkhead/testkit";
import { Store, type SeenEvent } from "../../../instruments/passive-dns/src/store.ts";

const VOLUME = "24m";

/** An ext4 image as an instrument's volume is; its file system says ENOSPC, as there. */
async function smallVolume(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = mkdtempSync(join(tmpdir(), "bh-full-"));
  const image = `${dir}.img`;
  await runCommand("truncate", ["-s", VOLUME, image]);
  await runCommand("mkfs.ext4", ["-q", "-m", "0", image]);
  await runCommand("mount", ["-o", "loop,nosuid,nodev", image, dir]);
  return {
    dir,
    async [Symbol.asyncDispose]() {
      await runCommand("umount", [dir]);
      rmSync(dir, { recursive: true });
      rmSync(image);
    },
  };
}

let made = 0;
/** `count` events, each of a name of its own, one a second from `fromS`. */
function events(fromS: number, count: number): SeenEvent[] {
  return Array.from({ length: count }, (_, n) => {
    made += 1;
    const rrname = `n${made}.${"x".repeat(200)}.example`;
    return { id: `id-${made}`, timeS: fromS + n, records: [{ rrname, rrtype: "A", rdata: "192.0.2.1" }] };
  });
}

function freeBytes(dir: string): number {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize;
}

test("a store that has filled its volume goes on: the oldest make room, and the newest are there", async () => {
  await using volume = await smallVolume();
  let madeRoom = 0;
  using store = new Store(join(volume.dir, "db.sqlite"), { onFull: (removed) => (madeRoom += removed) });
  let timeS = 1_000_000;
  for (let batch = 0; batch < 70; batch += 1) {
    store.add(events(timeS, 500));
    timeS += 500;
  }
  assert.ok(madeRoom > 1000, `more was offered than fits: ${madeRoom} made room`);
  const stats = store.stats();
  assert.equal(stats.newest, timeS - 1);
  assert.equal(stats.records, 70 * 500 - madeRoom, "nothing but what made room is missing");
  assert.equal(stats.oldest, 1_000_000 + madeRoom, "and those were the oldest");

  const left = stats.records;
  assert.equal(store.purge(timeS - 100, Number.MAX_SAFE_INTEGER), left - 100, "the cleaner is not starved");
  assert.equal(store.oldestS(), timeS - 100);
});

test("a volume that something else filled to the last byte is cleaned, also after a restart", async () => {
  await using volume = await smallVolume();
  const path = join(volume.dir, "db.sqlite");
  {
    using store = new Store(path);
    store.add(events(1_000, 4_000));
  }
  const fill = (): void => {
    const file = join(volume.dir, `foreign-${made++}`);
    try {
      writeFileSync(file, Buffer.alloc(VOLUME_BYTES));
    } catch (error) {
      assert.ok(error instanceof Error && "code" in error && error.code === "ENOSPC");
    }
  };
  fill();
  assert.ok(freeBytes(volume.dir) < 8192, `${freeBytes(volume.dir)} bytes are free`);
  {
    using store = new Store(path);
    assert.equal(store.purge(3_000, 100_000), 2_000);
    fill();
    assert.equal(store.purge(4_000, 100_000), 1_000, "again, with the reserve that was given up");
    assert.equal(store.oldestS(), 4_000);
  }
  using store = new Store(path);
  assert.equal(store.stats().records, 1_000);
});

const VOLUME_BYTES = 24 * 1024 * 1024;
