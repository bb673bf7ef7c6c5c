/** Archives: what is whole and harmless passes; each way to harm whoever opens one does not. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { buffer } from "node:stream/consumers";
import { crc32, deflateRawSync, gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";
import { type ArchiveOrder, readArchive } from "./archive.ts";

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), "bulkhead-archive-"));
});
after(() => rm(dir, { recursive: true, force: true }));

async function read(format: ArchiveOrder["format"], bytes: Buffer, rest: Partial<ArchiveOrder> = {}) {
  const file = join(dir, "archive");
  await writeFile(file, bytes);
  return readArchive({ file, format, maxUnpacked: 64 * 2 ** 20, maxEntries: 10, copy: null, ...rest });
}

async function tar(
  entries: readonly (Partial<Header> & { readonly name: string; readonly content?: string })[],
): Promise<Buffer> {
  const made = pack();
  for (const { content = "", ...header } of entries) made.entry(header, content);
  made.finalize();
  return buffer(made);
}

const GOOD = [
  { name: "rules/", type: "directory" },
  { name: "rules/a.rules", content: "alert a" },
  { name: `rules/${"long".repeat(40)}.rules`, content: "alert b" },
] as const;

suite("tar", () => {
  test("a good one, packed or not, and one file of it", async () => {
    const bytes = await tar(GOOD);
    assert.deepEqual(await read("tar", bytes), { entries: 3, unpackedBytes: bytes.length });
    const to = join(dir, "copy");
    const copy = { to, member: "rules/a.rules" };
    assert.equal((await read("tar.gz", gzipSync(bytes), { copy })).entries, 3);
    assert.equal(await readFile(to, "utf8"), "alert a");
    await assert.rejects(read("tar", bytes, { copy: { to, member: "rules/b" } }), /has no file/);
    assert.deepEqual((await readdir(dir)).toSorted(), ["archive", "copy"]);
  });

  const bad: Readonly<
    Record<string, readonly [readonly (Partial<Header> & { readonly name: string })[], RegExp]>
  > = {
    "a name that leads out": [[{ name: "../a" }], /leads out/],
    "an absolute name": [[{ name: "/etc/passwd" }], /absolute/],
    "a symbolic link": [[{ name: "a", type: "symlink", linkname: "/etc" }], /is a symlink/],
    "a hard link": [[{ name: "a", type: "link", linkname: "b" }], /is a link/],
    "a device": [[{ name: "a", type: "character-device" }], /is a character-device/],
    "a FIFO": [[{ name: "a", type: "fifo" }], /is a fifo/],
    "a name twice": [[{ name: "a" }, { name: "./a" }], /there twice/],
    "a file as a directory": [[{ name: "a" }, { name: "a/b" }], /below a file/],
    "too many": [Array.from({ length: 11 }, (_, index) => ({ name: `f${index}` })), /more than 10 entries/],
    nothing: [[], /is empty/],
  };
  for (const [what, [entries, message]] of Object.entries(bad)) {
    test(`refused: ${what}`, async () => {
      await assert.rejects(read("tar", await tar(entries)), { reason: "archive", message });
    });
  }

  test("refused: what is cut, damaged, or none", async () => {
    const bytes = await tar(GOOD);
    await assert.rejects(read("tar", bytes.subarray(0, 700)), { reason: "archive" });
    await assert.rejects(read("tar.gz", gzipSync(bytes).subarray(0, 100)), { reason: "archive" });
    await assert.rejects(read("tar.gz", bytes), { reason: "archive" });
    await assert.rejects(read("tar", Buffer.from("<html>".repeat(200))), { reason: "archive" });
    const damaged = gzipSync(bytes);
    damaged.writeUInt32LE(1, damaged.length - 8); // its check sum
    await assert.rejects(read("tar.gz", damaged), { reason: "archive" });
  });

  test("refused: a header without end", async () => {
    const made = pack();
    made.entry({ name: "a", pax: { comment: "x".repeat(5 * 2 ** 20) } }, "");
    made.finalize();
    await assert.rejects(read("tar", await buffer(made)), { reason: "archive" });
  });
});

suite("bombs", () => {
  const zeros = Buffer.alloc(32 * 2 ** 20);
  test("refused: many times its size", async () => {
    await assert.rejects(read("gzip", gzipSync(zeros)), { reason: "archive", message: /times its size/ });
    const bomb = gzipSync(await tar([{ name: "a", content: zeros.toString("latin1") }]));
    await assert.rejects(read("tar.gz", bomb), { reason: "archive", message: /times its size/ });
  });
  test("refused: more than the source allows, also where the archive says less", async () => {
    const maxUnpacked = 2 ** 20;
    await assert.rejects(read("gzip", gzipSync(zeros), { maxUnpacked }), { message: /1048576 bytes/ });
    const lying = zip([{ name: "a", content: zeros, says: 10 }]);
    await assert.rejects(read("zip", lying, { maxUnpacked }), { reason: "archive" });
  });
  test("a little of it is none", async () => {
    const small = gzipSync(Buffer.alloc(2 ** 20));
    const to = join(dir, "copy");
    await read("gzip", small, { copy: { to, member: null } });
    assert.equal((await readFile(to)).length, 2 ** 20);
  });
});

suite("zip", () => {
  test("a good one, and one file of it", async () => {
    const bytes = zip([
      { name: "d/", content: Buffer.alloc(0) },
      { name: "d/list.txt", content: "192.0.2.1" },
    ]);
    const to = join(dir, "copy");
    const facts = await read("zip", bytes, { copy: { to, member: "d/list.txt" } });
    assert.deepEqual(facts, { entries: 2, unpackedBytes: 9 });
    assert.equal(await readFile(to, "utf8"), "192.0.2.1");
  });

  const bad: Readonly<Record<string, ZipEntry[]>> = {
    "a name that leads out": [{ name: "../a", content: "x" }],
    "an absolute name": [{ name: "/a", content: "x" }],
    "a name with a backslash": [{ name: "..\\a", content: "x" }],
    "a link": [{ name: "a", content: "/etc", mode: 0o120777 }],
    "an encrypted file": [{ name: "a", content: "x", flags: 1 }],
    "a name twice": [
      { name: "a", content: "x" },
      { name: "a", content: "y" },
    ],
    "a wrong check sum": [{ name: "a", content: "x", sum: 1 }],
    "a size that is none": [{ name: "a", content: "xyz", says: 2 }],
  };
  for (const [what, entries] of Object.entries(bad)) {
    test(`refused: ${what}`, async () => {
      await assert.rejects(read("zip", zip(entries)), { reason: "archive" });
    });
  }

  test("refused: what is cut or none", async () => {
    await assert.rejects(read("zip", zip([{ name: "a", content: "x" }]).subarray(0, 60)), {
      reason: "archive",
    });
    await assert.rejects(read("zip", Buffer.alloc(100)), { reason: "archive" });
  });
});

interface ZipEntry {
  readonly name: string;
  readonly content: Buffer | string;
  readonly mode?: number;
  readonly flags?: number;
  readonly sum?: number;
  /** What it says to be as large as. */
  readonly says?: number;
}

/** As APPNOTE.TXT 4.3 has it, and able to lie. */
function zip(entries: readonly ZipEntry[]): Buffer {
  const [bodies, directory]: [Buffer[], Buffer[]] = [[], []];
  let offset = 0;
  for (const { name, content, mode = 0o100644, flags = 0, sum, says } of entries) {
    const plain = Buffer.from(content as string); // of a buffer it makes a copy
    const packed = deflateRawSync(plain);
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(flags, 2);
    common.writeUInt16LE(8, 4);
    common.writeUInt32LE(sum ?? crc32(plain), 10);
    common.writeUInt32LE(packed.length, 14);
    common.writeUInt32LE(says ?? plain.length, 18);
    common.writeUInt16LE(name.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), common, Buffer.from(name), packed]);
    const rest = Buffer.alloc(14);
    rest.writeUInt32LE((mode << 16) >>> 0, 6);
    rest.writeUInt32LE(offset, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\x03"), common, rest, Buffer.from(name)]));
    bodies.push(local);
    offset += local.length;
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(entries.length, 8);
  end.writeUInt16LE(entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(offset, 16);
  return Buffer.concat([...bodies, central, end]);
}
