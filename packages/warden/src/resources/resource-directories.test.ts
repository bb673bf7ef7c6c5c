import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { hostCommands } from "../commands.ts";
import { resourceDirectories } from "./resource-directories.ts";

const PLATFORM = { uid: 64_999, gid: 64_999 };

test(
  "a receiver's directory is the platform user's, and goes with what lies in it, and no further",
  {
    skip: process.getuid?.() === 0 ? false : "only root gives a directory to another user",
  },
  async (t) => {
    const top = await mkdtemp(join(tmpdir(), "bulkhead-resources-"));
    t.after(() => rm(top, { recursive: true }));
    await chmod(top, 0o711);
    const resourcesDir = join(top, "resources");
    const directories = resourceDirectories({ resourcesDir }, PLATFORM, hostCommands());
    assert.deepEqual(await directories.observe(), []);
    await assert.rejects(directories.prepare("ids"), { code: "volume-locked" });
    await mkdir(resourcesDir);
    await directories.prepare("ids");
    await directories.prepare("ids");
    const { uid, mode } = await stat(join(resourcesDir, "ids"));
    assert.deepEqual([uid, mode & 0o777], [PLATFORM.uid, 0o755]);
    assert.equal((await stat(resourcesDir)).uid, 0);
    assert.deepEqual(await directories.observe(), ["ids"]);

    // What a sensord that was taken over may leave there: a link out of it, for root to follow.
    const outside = join(top, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "kept"), "");
    await symlink(outside, join(resourcesDir, "ids/rules"));
    await directories.remove("ids");
    await directories.remove("ids");
    assert.deepEqual(await readdir(resourcesDir), []);
    assert.deepEqual(await readdir(outside), ["kept"]);
  },
);

test("only a name leads to a directory", async () => {
  const directories = resourceDirectories({ resourcesDir: "/nowhere" }, PLATFORM, hostCommands());
  await assert.rejects(directories.prepare("../x"));
  await assert.rejects(directories.remove(".."));
});
