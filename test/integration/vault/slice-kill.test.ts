/**
 * Killed after each command of a slice's end: its key is gone from the store by then, and whoever comes next, with the
 * volume still mounted or not, finds what is left and removes it.
 */
import assert from "node:assert/strict";
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { CUT, hourly, look, slicesStand, START, HOUR } from "./slices-stand.ts";
import { liveProcess, OWNER } from "./vault-stand.ts";

const PROGRAM = join(import.meta.dirname, "slice-process.ts");

for (const way of ["mounted", "unmounted"] as const) {
  test(`a kill within a slice's end, and what finds the volume ${way} afterwards`, async () => {
    let kills = 0;
    for (; kills < 20; kills += 1) {
      await using stack = new AsyncDisposableStack();
      const stand = await slicesStand(stack);
      const slice = hourly(0);
      await writeFile(join(stand.dirOf(slice), "kept"), "x".repeat(10_000), { flush: true });
      const said = await liveProcess(PROGRAM, [stand.dir, slice, String(kills)]);
      assert.ok(said === "" || said === "done", said);
      assert.deepEqual(await stand.vault.keys.slices(CUT), [hourly(1)]);
      const next = stand.another();
      if (way === "mounted") {
        const found = (await look(next))[slice];
        assert.ok(found === undefined || found.startsWith("spent"), found);
        if (found !== undefined) await next.destroySlice(CUT, slice);
      } else {
        await next.detach(CUT);
        stand.time.latestMs = START + 2 * HOUR;
        await next.attach(CUT, OWNER);
      }
      assert.equal((await look(next))[slice], undefined);
      assert.equal((await readdir(next.dataDir(CUT))).includes(slice), false);
      if (said === "done") break;
    }
    assert.ok(kills >= 2, `only ${kills} commands`);
  });
}
