/** Signed bundles in the downloader's inbox. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { buffer } from "node:stream/consumers";
import { eventually, makeMinisignKey, type MinisignKey, signLikeMinisign } from "@bulkhead/testkit";
import { pack } from "tar-stream";
import { AS, DownloaderStand, file, sha256Of } from "./downloader-stand.ts";

const RULES = "alert one\n";
const key = makeMinisignKey();
const imports = {
  keys: [key.publicKey],
  bundles: [{ bundle: "usb/bundle.tar", signature: "usb/bundle.tar.minisig" }],
};

interface Bundle {
  readonly created: string;
  readonly text?: string;
  readonly entry?: Readonly<Record<string, unknown>>;
  readonly extra?: Readonly<Record<string, string>>;
  readonly signer?: MinisignKey;
  readonly order?: readonly string[];
}

let stand: DownloaderStand;
beforeEach(async () => {
  stand = await DownloaderStand.make();
});
afterEach(() => stand[Symbol.asyncDispose]());

/** Lays a bundle into the inbox, starts anew, and returns what became of it. */
async function bring({ created, text = RULES, entry = {}, extra = {}, signer = key, order }: Bundle) {
  const inbox = join(stand.dir, "inbox");
  await mkdir(join(inbox, "usb"), { recursive: true });
  const named = { source: "feed", type: AS.type, file: "feed.rules", sha256: sha256Of(text), ...entry };
  const files: Readonly<Record<string, string>> = {
    "manifest.json": JSON.stringify({ formatVersion: 1, created, files: [named] }),
    "feed.rules": text,
    ...extra,
  };
  const tar = pack();
  for (const name of order ?? Object.keys(files)) tar.entry({ name }, files[name] ?? "");
  tar.finalize();
  const bytes = await buffer(tar);
  await writeFile(join(inbox, "usb/bundle.tar"), bytes);
  await writeFile(join(inbox, "usb/bundle.tar.minisig"), signLikeMinisign(signer, bytes, "a bundle"));
  await stand.start({ sources: [stand.source({ maxSize: "1KiB" })], imports }, inbox);
  const [made] = await eventually("it was looked at", () => {
    const { imports } = stand.downloader.status;
    return imports.length === 0 ? null : imports;
  });
  return { problem: made?.problem ?? null, file: made?.files[0] ?? null };
}

const current = () => stand.downloader.status.sources[0]?.current;

test("a signed bundle is taken and handed over like what was fetched; an older one is not", async () => {
  const first = await bring({ created: "2024-05-01T00:00:00Z" });
  assert.deepEqual([first.problem, first.file?.outcome], [null, "new"]);
  assert.deepEqual(await stand.settled(), [RULES]);
  assert.equal(current()?.origin, "import");
  assert.equal(current()?.verifiedBy, "bundle");
  assert.equal((await bring({ created: "2024-05-01T00:00:00Z" })).file?.outcome, "unchanged");
  const replay = await bring({ created: "2024-04-30T00:00:00Z", text: "alert old\n" });
  assert.equal(replay.file?.reason, "older");
  const other = await bring({ created: "2024-05-01T00:00:00Z", text: "alert other\n" });
  assert.equal(other.file?.reason, "older", "of one time there is one");
  assert.equal((await bring({ created: "2024-05-02T00:00:00Z", text: "alert two\n" })).file?.outcome, "new");
  assert.deepEqual(await stand.settled(), [RULES, "alert two\n"]);
});

test("what was fetched counts: a bundle from before it is a replay", async () => {
  stand.answers.set("/feed", file("alert net\n", { "last-modified": "Wed, 01 May 2024 00:00:00 GMT" }));
  await stand.run();
  assert.equal((await bring({ created: "2024-04-30T00:00:00Z" })).file?.reason, "older");
  assert.equal((await bring({ created: "2024-05-02T00:00:00Z" })).file?.outcome, "new");
  assert.deepEqual(await stand.settled(), ["alert net\n", RULES]);
});

test("after a bundle, nothing that was signed before it comes over the network", async () => {
  await bring({ created: "2024-05-01T00:00:00Z" });
  const old = "alert old\n";
  stand.answers.set("/feed", file(old));
  const signature = signLikeMinisign(key, Buffer.from(old), "timestamp:1600000000\tfile:feed");
  stand.answers.set("/feed.minisig", file(signature));
  const source = await stand.run({ verify: { minisign: key.publicKey } });
  assert.equal(source.problem?.reason, "older");
  assert.deepEqual(await stand.settled(), [RULES]);
});

const created = "2024-05-01T00:00:00Z";
const bad: Readonly<Record<string, readonly [Bundle, string]>> = {
  "another's signature": [{ created, signer: makeMinisignKey() }, "signature"],
  "a manifest at its end": [{ created, order: ["feed.rules", "manifest.json"] }, "bundle"],
  "a file that is not in it": [{ created, order: ["manifest.json"] }, "bundle"],
  "a file that is not named": [{ created, extra: { "more.rules": "x" } }, "bundle"],
  "a name that leads out": [{ created, extra: { "../more.rules": "x" } }, "archive"],
  "a manifest that is none": [{ created: "yesterday" }, "bundle"],
  "a source that nobody named": [{ created, entry: { source: "other" } }, "bundle"],
  "another type": [{ created, entry: { type: "watch-list" } }, "bundle"],
  "another content": [{ created, entry: { sha256: "0".repeat(64) } }, "checksum"],
  "too much": [{ created, text: "x".repeat(1_025) }, "too-large"],
  nothing: [{ created, text: "" }, "empty"],
};
for (const [what, [bundle, reason]] of Object.entries(bad)) {
  test(`refused: ${what}`, async () => {
    const { problem, file } = await bring(bundle);
    assert.equal(problem?.reason ?? file?.reason, reason, JSON.stringify({ problem, file }));
    assert.equal(current(), null);
    assert.deepEqual(stand.delivered, []);
  });
}
