import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { isWardenError, type WardenErrorCode } from "../error.ts";
import { inboxes } from "./inbox.ts";

const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

async function site(stack: AsyncDisposableStack, files: Readonly<Record<string, string>>) {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-inbox-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const siteDir = join(dir, "site");
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(siteDir, name, ".."), { recursive: true });
    await writeFile(join(siteDir, name), text);
  }
  const store = inboxes({ inboxDir: join(dir, "inbox") });
  const delivery = (version: string, names: readonly string[]) => ({
    instrument: "ids",
    version,
    siteDir,
    files: names.map((name) => ({ name, sha256: sha256(files[name] ?? "") })),
  });
  return { store, siteDir, delivery, path: join(dir, "inbox", "ids") };
}

suite("inbox", () => {
  test("a version arrives whole, is current, and is readable by everybody", async () => {
    await using stack = new AsyncDisposableStack();
    const { store, delivery, path } = await site(stack, {
      "local.rules": "alert",
      "lists/ip.txt": "192.0.2.1",
    });
    assert.deepEqual(await store.observe(), []);
    await store.put(delivery("v1", ["local.rules", "lists/ip.txt"]));
    await store.put(delivery("v1", ["local.rules", "lists/ip.txt"]));
    assert.deepEqual(await store.observe(), [{ instrument: "ids", version: "v1" }]);
    assert.equal(await readlink(join(path, "current")), "v1");
    assert.equal(await readFile(join(path, "current", "lists", "ip.txt"), "utf8"), "192.0.2.1");
    assert.equal((await stat(join(path, "v1", "local.rules"))).mode & 0o777, 0o644);
    assert.equal((await stat(join(path, "v1", "lists"))).mode & 0o777, 0o755);
  });

  test("the one before stays, older ones go; going back makes it current again", async () => {
    await using stack = new AsyncDisposableStack();
    const { store, delivery, path } = await site(stack, { "local.rules": "alert" });
    for (const version of ["v1", "v2", "v3"]) await store.put(delivery(version, ["local.rules"]));
    assert.deepEqual((await readdir(path)).toSorted(), ["current", "v2", "v3"]);
    await store.put(delivery("v2", ["local.rules"]));
    assert.deepEqual(await store.observe(), [{ instrument: "ids", version: "v2" }]);
    assert.deepEqual((await readdir(path)).toSorted(), ["current", "v2", "v3"]);
    await store.remove("ids");
    await store.remove("ids");
    assert.deepEqual(await store.observe(), []);
  });

  test("a file that is not what was accepted, is missing, or lies elsewhere delivers nothing", async () => {
    await using stack = new AsyncDisposableStack();
    const { store, siteDir, delivery, path } = await site(stack, { "local.rules": "alert", other: "x" });
    await store.put(delivery("v1", ["local.rules"]));
    const refused = (version: string, name: string, hash: string, code: WardenErrorCode) =>
      assert.rejects(
        store.put({ ...delivery(version, []), files: [{ name, sha256: hash }] }),
        (error) => isWardenError(error, code),
        name,
      );
    await refused("v2", "local.rules", sha256("changed"), "inbox-file-differs");
    await refused("v2", "absent", sha256(""), "inbox-file-missing");
    await refused("v2", "../site/other", sha256("x"), "inbox-name-refused");
    await refused("v2", "/etc/passwd", sha256("x"), "inbox-name-refused");
    await symlink("/etc/hostname", join(siteDir, "link"));
    await refused("v2", "link", sha256("x"), "inbox-name-refused");
    await refused("../v2", "local.rules", sha256("alert"), "inbox-name-refused");
    await refused("current", "local.rules", sha256("alert"), "inbox-name-refused");
    assert.deepEqual((await readdir(path)).toSorted(), ["current", "v1"]);
    assert.deepEqual(await store.observe(), [{ instrument: "ids", version: "v1" }]);
  });

  test("a version that was altered on the disk is written again", async () => {
    await using stack = new AsyncDisposableStack();
    const { store, delivery, path } = await site(stack, { "local.rules": "alert" });
    await store.put(delivery("v1", ["local.rules"]));
    await writeFile(join(path, "v1", "local.rules"), "pass");
    await store.put(delivery("v1", ["local.rules"]));
    assert.equal(await readFile(join(path, "v1", "local.rules"), "utf8"), "alert");
  });
});
