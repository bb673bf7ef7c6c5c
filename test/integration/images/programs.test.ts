/** The broker and the shared Node, fetched and made for real. */
import assert from "node:assert/strict";
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  ensureBroker,
  ensureNodeDisk,
  findNodeBinary,
  openAptSource,
  findDebianMirror,
  runCommand,
} from "@bulkhead/images";
import { rejectsWith, scratch } from "./fixture.ts";

test("nats-server: new enough, from a verified package, and left alone once it is there", async () => {
  await using at = await scratch();
  const options = { binDir: join(at.dir, "bin"), cacheDir: join(at.dir, "cache") };
  const first = await ensureBroker(options);
  assert.equal(first.state, "built");
  const said = (await runCommand(first.file, ["--version"])).toString("utf8");
  assert.match(said, new RegExp(`v${first.version.replaceAll(".", "\\.")}\\b`));
  const { uid, mode } = await stat(first.file);
  assert.deepEqual([uid, mode & 0o7777], [0, 0o755]);
  assert.equal((await ensureBroker(options)).state, "present");
});

test("another suite: its candidates, and a package that it does not have", async () => {
  await using at = await scratch();
  const archive = await findDebianMirror();
  const source = await openAptSource({ suite: "trixie", archive, cacheDir: at.dir });
  assert.match((await source.candidate("tini")) ?? "", /^\d/);
  assert.equal(await source.candidate("no-such-package"), null);
  await rejectsWith("image-package-missing", source.download("no-such-package"));
});

test("a mirror that Debian did not sign is refused", async () => {
  await using at = await scratch();
  const mirror = join(at.dir, "mirror");
  const release = join(mirror, "dists/trixie");
  await mkdir(join(release, "main/binary-amd64"), { recursive: true });
  await writeFile(join(release, "main/binary-amd64/Packages"), "");
  await writeFile(
    join(release, "Release"),
    "Suite: stable\nCodename: trixie\nComponents: main\nArchitectures: amd64\n",
  );
  const archive = { main: `file://${mirror}`, security: null };
  const fault = await rejectsWith(
    "image-command-failed",
    openAptSource({ suite: "trixie", archive, cacheDir: join(at.dir, "cache") }),
  );
  assert.match(fault.message, /not signed/);
});

test("the shared Node runs, and is smaller than what npm brought", async () => {
  await using at = await scratch();
  const binary = findNodeBinary(import.meta.filename);
  const nodeDir = join(at.dir, "node");
  assert.equal(await ensureNodeDisk({ nodeDir, binary }), "built");
  const node = join(nodeDir, "bin", "node");
  assert.match((await runCommand(node, ["--version"])).toString("utf8"), /^v24\./);
  assert.ok((await stat(node)).size <= (await stat(binary)).size);
  assert.equal(await ensureNodeDisk({ nodeDir, binary }), "present");
});
