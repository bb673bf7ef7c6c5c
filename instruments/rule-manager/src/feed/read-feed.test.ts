import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";
import { type FeedLimits, readFeed } from "./read-feed.ts";

const RULE = 'alert tcp any any -> any any (msg:"one"; sid:1;)\n';

class Place implements AsyncDisposable {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async open(): Promise<Place> {
    return new Place(await mkdtemp(join(tmpdir(), "bh-test-feed-")));
  }

  async read(content: Buffer | string, limits?: FeedLimits) {
    const path = join(this.dir, "feed");
    await writeFile(path, content);
    return readFeed({ path, source: "et", file: "et.rules" }, limits);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}

async function tar(
  entries: readonly (readonly [Partial<Header> & { name: string }, string])[],
): Promise<Buffer> {
  const archive = pack();
  for (const [header, content] of entries) archive.entry(header, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer); // no encoding was set
  return Buffer.concat(chunks);
}

const source = "et";

test("a file alone, gzipped or not, and the rules of an archive", async () => {
  await using place = await Place.open();
  const whole = { kind: "rules", files: [{ source, file: "et.rules", text: RULE }] };
  assert.deepEqual(await place.read(RULE), whole);
  assert.deepEqual(await place.read(gzipSync(RULE)), whole);
  const archive = await tar([
    [{ name: "rules/", type: "directory" }, ""],
    [{ name: "rules/a.rules" }, RULE],
    [{ name: "rules/classification.config" }, "config classification: x,y,1\n"],
    [{ name: "./b.rules" }, `# b\n${RULE}`],
  ]);
  const files = [
    { source, file: "rules/a.rules", text: RULE },
    { source, file: "b.rules", text: `# b\n${RULE}` },
  ];
  assert.deepEqual(await place.read(archive), { kind: "rules", files });
  assert.deepEqual(await place.read(gzipSync(archive)), { kind: "rules", files });
});

test("names of an archive are labels, links are passed over, and nothing is written", async () => {
  await using place = await Place.open();
  const archive = await tar([
    [{ name: "../../../etc/evil.rules" }, RULE],
    [{ name: "/abs.rules" }, RULE],
    [{ name: "line\nbreak.rules" }, RULE],
    [{ name: "link.rules", type: "symlink", linkname: "/etc/passwd" }, ""],
  ]);
  const read = await place.read(archive);
  assert.ok(read.kind === "rules");
  assert.deepEqual(
    read.files.map(({ file }) => file),
    ["../../../etc/evil.rules", "abs.rules", "line?break.rules"],
  );
  assert.deepEqual(await readdir(place.dir), ["feed"]);
});

test("what is too large, damaged, cut or without rules is refused", async () => {
  await using place = await Place.open();
  const limits = { totalBytes: 10_000, entries: 3 };
  const reason = async (content: Buffer | string) => {
    const read = await place.read(content, limits);
    return read.kind === "refused" ? read.reason : "";
  };
  assert.match(await reason("x".repeat(10_001)), /more than 10000 bytes/);
  assert.match(await reason(gzipSync("x".repeat(10_000_000))), /more than 10000 bytes/);
  const many = await tar(Array.from({ length: 4 }, (_, n) => [{ name: `${n}.txt` }, "x"] as const));
  assert.match(await reason(many), /more than 3 files/);
  const archive = gzipSync(await tar([[{ name: "a.rules" }, RULE.repeat(50)]]));
  for (const cut of [20, 60, archive.length - 4]) {
    assert.match(await reason(archive.subarray(0, cut)), /damaged or cut short/, String(cut));
  }
  const plain = await tar([[{ name: "a.rules" }, RULE.repeat(50)]]);
  assert.match(await reason(plain.subarray(0, 1_000)), /damaged or cut short/);
  const wrong = Buffer.from(archive);
  wrong[archive.length - 6] = (wrong[archive.length - 6] ?? 0) ^ 0xff;
  assert.match(await reason(wrong), /damaged or cut short/);
  assert.match(await reason(await tar([[{ name: "readme" }, "x"]])), /no \.rules file/);
});
