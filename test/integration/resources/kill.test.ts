/** Whenever sensord is killed, a receiver has the old version or the new one, whole, and what is half done goes. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { SILENT } from "../../../packages/sensord/src/log.ts";
import { openShelf } from "./shelf-places.ts";

const PROGRAM = join(import.meta.dirname, "shelf-process.ts");
const ROUNDS = 5;

async function filesIn(dir: string): Promise<readonly string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

/** The versions in a receiver's directory, each checked against its own name. */
async function versionsOf(dir: string, to: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const path of await filesIn(join(dir, "receivers", to))) {
    const version = path.split("/").at(-1) ?? "";
    const sha256 = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    assert.equal(version.split("-")[1], sha256.slice(0, 12), `${path} is whole`);
    found.push(version);
  }
  return found;
}

const countOf = (version: string | undefined): number => Number.parseInt(version ?? "0", 10);

test("killed at any step", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-shelf-"));
  t.after(() => rm(dir, { recursive: true }));
  let acknowledged = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const child = spawn(process.execPath, [PROGRAM, dir], { stdio: ["ignore", "pipe", "inherit"] });
    const exited = once(child, "exit");
    const lines = createInterface({ input: child.stdout });
    lines.on("line", (version) => (acknowledged = countOf(version)));
    await once(lines, "line");
    await delay(Math.random() * 40);
    child.kill("SIGKILL");
    await exited;
    for (const to of ["rules", "other"]) {
      const newest = Math.max(...(await versionsOf(dir, to)).map(countOf));
      assert.ok(newest >= acknowledged, `${to} has ${newest}, and ${acknowledged} was acknowledged`);
    }
    const { shelf } = await openShelf(dir, SILENT);
    const [row] = shelf.rows();
    assert.ok(row !== undefined && countOf(row.version) >= acknowledged);
    for (const { to, current, lastGood } of row.receivers) {
      assert.equal(current, row.version, "what was kept and not placed is placed");
      assert.deepEqual(
        (await versionsOf(dir, to)).toSorted(),
        [current, lastGood].filter((version) => version !== null).toSorted(),
      );
    }
    const kept = await filesIn(join(dir, "kept"));
    assert.deepEqual(
      kept.map((path) => path.split("/").at(-1)),
      [row.version],
    );
    assert.deepEqual(await readdir(join(dir, "incoming")), []);
  }
});
