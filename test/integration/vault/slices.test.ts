/**
 * Time slices: whoever holds the instrument, the image of yesterday and every key that is left reads nothing of a
 * slice whose key was destroyed; and nothing that an instrument can put into a slice leads its removal elsewhere.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { suite, test } from "node:test";
import { isWardenError, type WardenErrorCode } from "../../../packages/warden/src/error.ts";
import { fscrypt } from "../../../packages/warden/src/vault/fscrypt.ts";
import { Vault } from "../../../packages/warden/src/vault/vault.ts";
import { imageVolumes } from "../../../packages/warden/src/volumes/image-volumes.ts";
import { asOwner, CUT, HOUR, hourly, look, slicesStand, START } from "./slices-stand.ts";
import { commands, OWNER, persistent, MIB, unmountAll, vaultParts } from "./vault-stand.ts";

const MARKER = `bulkhead-marker-${randomBytes(12).toString("hex")}`;
/** Node has no name for it: asm-generic/errno.h. */
const ENOKEY = 126;
const TEXT = `${MARKER}\n`.repeat(2_000);

async function holds(file: string, text: string): Promise<boolean> {
  return (await readFile(file)).includes(text);
}

const refused = (promise: Promise<unknown>, code: WardenErrorCode) =>
  assert.rejects(promise, (error) => {
    assert.ok(isWardenError(error, code), String(error));
    return true;
  });

suite("slices", () => {
  test("an instrument writes into what there is, and makes, moves and carries over nothing", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    assert.deepEqual(await look(stand.store), { [hourly(0)]: "kept present", [hourly(1)]: "kept present" });
    const data = stand.store.dataDir(CUT);
    assert.equal((await stat(data)).mode & 0o7777, 0o755);
    // The way to it is root's; in a container it is mounted.
    for (const dir of [stand.dir, stand.places.mountsDir, join(stand.mountDir, ".."), stand.mountDir])
      await commands.run(["chmod", "a+x", dir]);
    const [now, next] = [stand.dirOf(hourly(0)), stand.dirOf(hourly(1))];
    assert.deepEqual(await asOwner(`echo kept > ${now}/one`), { code: 0, said: "" });
    for (const script of [
      `mkdir ${data}/20270101T000000Z--20270102T000000Z`,
      `mv ${now} ${data}/20270101T000000Z--20270102T000000Z`,
      `rmdir ${next}`,
      `ln -s /etc ${data}/link`,
      `ln ${now}/one ${next}/one`,
      `chattr +i ${now}/one`,
      `chmod 777 ${data}`,
    ]) {
      const { code, said } = await asOwner(script);
      assert.notEqual(code, 0, script);
      assert.match(said, /not permitted|Permission denied|Invalid cross-device link|busy|not empty/, script);
    }
    assert.deepEqual(await readdir(data), [hourly(0), hourly(1)]);
  });

  test("after its end neither a copy made before nor all keys that are left open it", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    const [ending, staying] = [hourly(0), hourly(1)];
    for (const slice of [ending, staying])
      await writeFile(join(stand.dirOf(slice), `${MARKER}-name`), TEXT, { flush: true });
    await commands.run(["sync", "-f", stand.mountDir]);
    const copy = join(stand.dir, "copy.img");
    await copyFile(stand.image, copy);
    await stand.store.destroySlice(CUT, ending);
    assert.deepEqual(await look(stand.store), { [staying]: "kept present" });
    assert.deepEqual(await readdir(stand.store.dataDir(CUT)), [staying]);
    assert.deepEqual(await stand.vault.keys.slices(CUT), [staying]);
    assert.equal(await holds(stand.image, MARKER), false);
    assert.equal(await holds(copy, MARKER), false, "and not in the copy, where it was encrypted as well");
    for (const file of await readdir(join(stand.dir, "vault"), { recursive: true, withFileTypes: true }))
      if (file.isFile()) assert.equal(await holds(join(file.parentPath, file.name), ending), false);

    // The copy, with every key that there is.
    await stand.store.detach(CUT);
    const mount = join(stand.places.mountsDir, "copy");
    await mkdir(mount);
    await commands.run(["mount", "-o", "loop,noload,ro", copy, mount]);
    const crypt = fscrypt(commands);
    for (const slice of await stand.vault.keys.slices(CUT)) {
      using key = await stand.vault.keys.open({ ...CUT, slice });
      await crypt.addKeys(mount, [key]);
    }
    assert.equal(await readFile(join(mount, "d", staying, `${MARKER}-name`), "utf8"), TEXT, "the control");
    const names = await readdir(join(mount, "d", ending));
    assert.equal(names.length, 1);
    assert.equal(
      names.some((name) => name.includes(MARKER)),
      false,
    );
    await assert.rejects(readFile(join(mount, "d", ending, names[0] ?? "")), { errno: -ENOKEY });
    await commands.run(["umount", mount]);

    // The copy in place of the image, with a key made anew for the same slice: what is spent stays spent.
    await copyFile(copy, stand.image);
    await stand.store.attach(CUT, OWNER);
    assert.deepEqual(
      Object.keys(await look(stand.store)),
      [ending, staying],
      "made anew, for now is still in it",
    );
    assert.deepEqual(await readdir(stand.dirOf(ending)), []);
    assert.equal(await readFile(join(stand.dirOf(staying), `${MARKER}-name`), "utf8"), TEXT);
  });

  test("what is written in a slice outlives a detach, and what may be past its period is not opened", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    await writeFile(join(stand.dirOf(hourly(0)), "kept"), TEXT, { flush: true });
    await stand.store.detach(CUT);
    assert.deepEqual(await look(stand.store), { [hourly(0)]: "kept absent", [hourly(1)]: "kept absent" });
    assert.equal(await holds(stand.image, MARKER), false);

    stand.time.latestMs = START + 25 * HOUR;
    await stand.store.attach(CUT, OWNER);
    const late = await look(stand.store);
    assert.equal(late[hourly(0)], "kept absent", "its end is 24.5 hours ago");
    assert.equal(late[hourly(1)], "kept present");
    assert.equal(late[hourly(25)], "kept present");
    assert.equal((await readdir(stand.dirOf(hourly(0)))).includes("kept"), false);
    // The clock was wrong after all.
    stand.time.latestMs = START;
    await stand.store.openSlice(CUT, hourly(0), OWNER);
    assert.equal(await readFile(join(stand.dirOf(hourly(0)), "kept"), "utf8"), TEXT);
  });

  test("one that ends while its volume is closed is gone at the next attach", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    await writeFile(join(stand.dirOf(hourly(0)), "kept"), TEXT, { flush: true });
    await stand.store.detach(CUT);
    await stand.store.destroySlice(CUT, hourly(0));
    assert.deepEqual(await look(stand.store), { [hourly(1)]: "kept absent" });
    stand.time.latestMs = START + 30 * HOUR;
    await stand.store.attach(CUT, OWNER);
    assert.equal((await readdir(stand.store.dataDir(CUT))).includes(hourly(0)), false);
  });

  test("files that are open hold a key, and nothing is attached over it", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    const [ending] = [hourly(0)];
    await writeFile(join(stand.dirOf(ending), "open"), TEXT, { flush: true });
    const holder = spawn("sh", ["-c", `exec 3< open; echo up; read -r _; cat <&3`], {
      cwd: stand.dirOf(ending),
      stdio: ["pipe", "pipe", "inherit"],
    });
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    await stand.store.destroySlice(CUT, ending);
    assert.equal((await look(stand.store))[ending], "spent held");
    assert.deepEqual(await stand.vault.keys.slices(CUT), [hourly(1)], "its key is gone from the store");
    await refused(stand.another().attach(CUT, OWNER), "volume-key-held");
    holder.kill("SIGKILL");
    await new Promise((resolve) => holder.once("close", resolve));
    stand.time.latestMs = START + 5 * HOUR;
    await stand.another().attach(CUT, OWNER);
    assert.equal((await look(stand.store))[ending], undefined);
    assert.equal((await readdir(stand.store.dataDir(CUT))).includes(ending), false);
  });

  test("nothing that an instrument leaves in a slice leads its removal out, or stops it", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    const outside = join(stand.dir, "outside");
    await mkdir(outside);
    await writeFile(join(outside, "precious"), "host");
    const dir = stand.dirOf(hourly(0));
    await symlinkTo(outside, join(dir, "to-dir"));
    await symlinkTo(join(outside, "precious"), join(dir, "to-file"));
    await symlinkTo("..", join(dir, "up"));
    await symlinkTo(stand.dirOf(hourly(1)), join(dir, "to-next"));
    await writeFile(join(stand.dirOf(hourly(1)), "next"), "next");
    const deep =
      "import os\nos.mkdir('deep'); os.chdir('deep')\nfor _ in range(400):\n os.mkdir('n'*40); os.chdir('n'*40)\n";
    await commands.run(["python3", "-c", `import os; os.chdir(${JSON.stringify(dir)})\n${deep}`]);
    await commands.run([
      "sh",
      "-c",
      `cd '${dir}' && mkfifo fifo && mkdir many closed && for i in $(seq 300); do : > many/$i; ln many/$i many/$i.hard; done && : > closed/in && chmod 000 closed && printf x > "$(printf 'odd\\n -rf *')"`,
    ]);
    await stand.store.destroySlice(CUT, hourly(0));
    assert.deepEqual(await readdir(stand.store.dataDir(CUT)), [hourly(1)]);
    assert.equal(await readFile(join(outside, "precious"), "utf8"), "host");
    assert.equal(await readFile(join(stand.dirOf(hourly(1)), "next"), "utf8"), "next");
  });

  test("a volume that is full is attached all the same, and has its next slice once there is room", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    const hog = join(stand.dirOf(hourly(0)), "hog");
    await commands.run([
      "sh",
      "-c",
      `dd if=/dev/zero of='${hog}' bs=64k 2>/dev/null; dd if=/dev/zero of='${hog}2' bs=1k 2>/dev/null; true`,
    ]);
    await stand.store.detach(CUT);
    stand.time.latestMs = START + 3 * HOUR;
    await stand.store.attach(CUT, OWNER);
    assert.deepEqual(await readdir(stand.store.dataDir(CUT)), [hourly(0), hourly(1)]);
    await refused(stand.store.openSlice(CUT, hourly(3), OWNER), "volume-no-space");
    await stand.store.destroySlice(CUT, hourly(0));
    await stand.store.openSlice(CUT, hourly(3), OWNER);
    assert.deepEqual(await readdir(stand.store.dataDir(CUT)), [hourly(1), hourly(3)]);
  });

  test("all keys go with the volume; one that is cut otherwise is another volume", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    await refused(stand.store.create(persistent("contacts", 16 * MIB)), "volume-kind-differs");
    await stand.store.remove(CUT);
    assert.deepEqual(await stand.vault.keys.slices(CUT), []);
    assert.deepEqual(await readdir(join(stand.dir, "vault", "slice-keys")), []);
    await assert.rejects(stat(stand.image), { code: "ENOENT" });
  });

  test("a locked vault opens none, and ends what is due", async () => {
    await using stack = new AsyncDisposableStack();
    const stand = await slicesStand(stack);
    await stand.store.detach(CUT);
    const { keys } = await Vault.open(vaultParts(stand.dir));
    const locked = imageVolumes(stand.places, commands, keys, () => START);
    await refused(locked.attach(CUT, OWNER), "volume-locked");
    await locked.destroySlice(CUT, hourly(0));
    assert.deepEqual(await stand.vault.keys.slices(CUT), [hourly(1)]);
    await unmountAll(stand.places.mountsDir);
  });
});

async function symlinkTo(target: string, path: string): Promise<void> {
  await commands.run(["ln", "-s", "--", target, path]);
}
