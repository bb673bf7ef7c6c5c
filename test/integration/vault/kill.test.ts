/**
 * Killed after each of its commands that changes something, between making a volume and closing it: whoever comes next finds a volume that
 * can be made, attached with all that was flushed, and closed so that no key and no loop device is left.
 */
import assert from "node:assert/strict";
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { isMountPoint } from "../../../packages/warden/src/engine/host-mounts.ts";
import { loopDevicesOf } from "../../../packages/warden/src/volumes/loop-devices.ts";
import { liveProcess, MIB, OWNER, persistent, vaultStand } from "./vault-stand.ts";

const PROGRAM = join(import.meta.dirname, "volume-process.ts");

test("a kill after any command leaves what the next one can go on with", async () => {
  await using stack = new AsyncDisposableStack();
  const stand = await vaultStand(stack, 64 * MIB);
  const volume = persistent("store", 16 * MIB);
  const mountDir = join(stand.places.mountsDir, "ids", "store");
  let kills = 0;
  for (; kills < 100; kills += 1) {
    const said = await liveProcess(PROGRAM, [stand.dir, String(kills)]);
    if (said === "done") break;
    assert.equal(said, "");
    // The next life of warden.
    await stand.store.create(volume);
    await stand.store.attach(volume, OWNER);
    const files = await readdir(stand.store.dataDir(volume));
    if (files.length > 0) {
      assert.deepEqual(files, ["kept"]);
      const { length } = await readFile(join(stand.store.dataDir(volume), "kept"));
      // Not yet flushed where it was killed before: empty, and never in part.
      assert.ok(length === 10_000 || length === 0, String(length));
    }
    await stand.store.detach(volume);
    assert.equal(await isMountPoint(mountDir), false);
    assert.deepEqual(await loopDevicesOf(stand.imageOf(volume)), []);
    assert.deepEqual(await loopDevicesOf(`${stand.imageOf(volume)}.new`), []);
    await stand.store.remove(volume);
    await assert.rejects(stat(stand.imageOf(volume)), { code: "ENOENT" });
  }
  assert.ok(kills > 10, `only ${kills} commands`);
});
