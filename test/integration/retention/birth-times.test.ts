/** Births of an instrument's files are read as its own user, whatever it puts in the reader's way. */
import assert from "node:assert/strict";
import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { IDMAP_FIRST_BASE } from "../../../packages/warden/src/engine/idmap-claims.ts";
import { isWardenError } from "../../../packages/warden/src/error.ts";
import { readBirthTimes } from "../../../packages/warden/src/volumes/birth-times.ts";

/** Far from all that the host has handed out. */
const OWNER = IDMAP_FIRST_BASE + 600_000_000;

async function place(): Promise<AsyncDisposable & { readonly closed: string; readonly dir: string }> {
  const closed = await mkdtemp(join(tmpdir(), "bh-births-"));
  await chmod(closed, 0o700);
  const dir = join(closed, "d");
  await mkdir(dir, { mode: 0o700 });
  await chown(dir, OWNER, OWNER);
  return { closed, dir, [Symbol.asyncDispose]: () => rm(closed, { recursive: true }) };
}

async function own(path: string, text = ""): Promise<void> {
  await writeFile(path, text);
  await chown(path, OWNER, OWNER);
}

test("the oldest birth is found, though its time was set back or forth; names are never read", async () => {
  await using volume = await place();
  assert.deepEqual(await readBirthTimes(volume.dir), { oldest: null, files: 0, complete: true });
  const first = join(volume.dir, "first");
  await own(first);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await mkdir(join(volume.dir, "below"));
  await chown(join(volume.dir, "below"), OWNER, OWNER);
  await own(join(volume.dir, "below", "1.0\n2.0\n3.0"));
  await utimes(first, 0, 0);
  const { oldest, files, complete } = await readBirthTimes(volume.dir);
  assert.deepEqual([files, complete], [2, true]);
  assert.ok(Math.abs(Date.parse(oldest ?? "") - (await stat(first)).birthtimeMs) < 2);
});

test("links lead it nowhere, and what is closed to the owner is closed to it", async () => {
  await using volume = await place();
  // Readable by root alone: what the reader would see, had it root's rights.
  const secret = join(volume.closed, "secret");
  await mkdir(secret, { mode: 0o700 });
  await writeFile(join(secret, "file"), "");
  await symlink(secret, join(volume.dir, "link"));
  await symlink("/etc", join(volume.dir, "etc"));
  const roots = join(volume.dir, "roots");
  await mkdir(roots, { mode: 0o700 });
  await writeFile(join(roots, "file"), "");
  assert.deepEqual(await readBirthTimes(volume.dir), { oldest: null, files: 0, complete: false });
});

test("a directory that is no instrument's is not looked at", async () => {
  await using volume = await place();
  await assert.rejects(readBirthTimes(volume.closed), (error) => isWardenError(error, "volume-not-read"));
});
