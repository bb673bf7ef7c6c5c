/** The downloader against a real HTTPS server: what it takes, what it refuses, and that what was good stays. */
import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Settings } from "@bulkhead/instrument-downloader";
import { eventually, makeMinisignKey, signLikeMinisign } from "@bulkhead/testkit";
import { pack } from "tar-stream";
import { buffer } from "node:stream/consumers";
import { DownloaderStand, file, FEED, HOST, sha256Of } from "./downloader-stand.ts";

const RULES = 'alert tcp any any -> any any (msg:"one"; sid:1;)\n';
const NEWER = 'alert tcp any any -> any any (msg:"two"; sid:2;)\n';

let stand: DownloaderStand;
beforeEach(async () => {
  stand = await DownloaderStand.make();
});
afterEach(() => stand[Symbol.asyncDispose]());

/** It was taken before, and stays whatever comes. */
async function withGood(settings: Parameters<DownloaderStand["run"]>[0] = {}): Promise<void> {
  stand.answers.set("/feed", file(RULES));
  const { problem } = await stand.run(settings);
  assert.equal(problem, null);
  assert.deepEqual(await stand.settled(), [RULES]);
}

async function refused(reason: string, settings?: Parameters<DownloaderStand["run"]>[0]) {
  const source = settings === undefined ? await stand.runAgain() : await stand.run(settings);
  assert.equal(source.problem?.reason, reason, JSON.stringify(source.problem));
  assert.equal(source.failures > 0, true);
  return source;
}

async function keptGood(): Promise<void> {
  assert.deepEqual(await stand.settled(), [RULES]);
  assert.equal(stand.downloader.status.sources[0]?.current?.sha256, sha256Of(RULES));
}

suite("downloader", () => {
  test("takes a version once, asks whether there is another, and takes that", async () => {
    stand.answers.set("/feed.sha256", (request, response) =>
      file(`${sha256Of(stand.requests.length > 3 ? NEWER : RULES)}  feed\n`)(request, response),
    );
    await withGood({ verify: { sha256: `${FEED}.sha256` } });
    const same = await stand.runAgain();
    assert.equal(same.totals.unchanged, 1);
    const conditional = stand.requests.at(-1);
    assert.equal(conditional?.headers["if-none-match"], `"${sha256Of(RULES).slice(0, 16)}"`);
    assert.equal(stand.delivered.length, 1);
    stand.answers.set("/feed", file(NEWER));
    await stand.runAgain();
    assert.deepEqual(await stand.settled(), [RULES, NEWER]);
  });

  test("goes on where it was cut, also after a restart", async () => {
    const big = `# ${"x".repeat(300_000)}\n`;
    stand.answers.set("/feed", (_request, response) => {
      response.writeHead(200, { etag: '"big"', "content-length": big.length });
      response.write(big.slice(0, 200_000), () => setTimeout(() => response.destroy(), 50));
    });
    await refused("cut", {});
    stand.answers.set("/feed", file(big, { etag: '"big"' }));
    await stand.start({ sources: [stand.source()] });
    assert.deepEqual(await (await stand.runAgain(), stand.settled()), [big]);
    const asked = stand.requests.at(-1)?.headers ?? {};
    assert.equal(asked["if-range"], '"big"');
    assert.match(asked.range ?? "", /^bytes=[1-9]\d+-$/);
  });

  test("does not put two versions together", async () => {
    stand.answers.set("/feed", (_request, response) => {
      response.writeHead(200, { etag: '"old"', "content-length": 100 });
      response.write("o".repeat(50), () => setTimeout(() => response.destroy(), 50));
    });
    await refused("cut", {});
    // One that sends the rest of another version all the same.
    stand.answers.set("/feed", (_request, response) => {
      const head = { etag: '"new"', "content-range": "bytes 50-99/100", "content-length": 50 };
      response.writeHead(206, head).end("n".repeat(50));
    });
    await refused("length-unknown");
    stand.answers.set("/feed", file(RULES));
    await stand.runAgain();
    assert.deepEqual(await stand.settled(), [RULES]);
    assert.equal(stand.requests.at(-1)?.headers.range, undefined);
  });

  test("is led on within the list alone, and never out of TLS", async () => {
    const lead = (location: string) =>
      stand.answers.set("/feed", (_request, response) => void response.writeHead(302, { location }).end());
    stand.answers.set("/other", file(RULES));
    lead("https://mirror.example.net/other");
    const redirectHosts = ["mirror.example.net:443"];
    await stand.run({ redirectHosts });
    assert.deepEqual(await stand.settled(), [RULES]);
    assert.equal(stand.requests.at(-1)?.host, "mirror.example.net");
    const count = stand.requests.length;
    lead("https://evil.example.net/other");
    assert.match((await refused("redirect")).problem?.detail ?? "", /evil\.example\.net:443/);
    lead(`http://${HOST}/other`);
    await refused("redirect");
    assert.equal(stand.requests.length, count + 2, "nobody else was asked");
    lead("/feed");
    await refused("redirect");
    await keptGood();
  });

  test("takes no more than it may, whatever is announced", async () => {
    await withGood({ maxSize: "64KiB" });
    stand.answers.set("/feed", file("x".repeat(65_537)));
    assert.match((await refused("too-large")).problem?.detail ?? "", /announced/);
    stand.answers.set("/feed", (_request, response) => {
      response.writeHead(200); // in chunks
      const more = (): void => void (response.destroyed || response.write("x".repeat(16_384), more));
      more();
    });
    const { totals } = await refused("too-large");
    assert.ok(totals.receivedBytes < 512 * 1024, `${totals.receivedBytes}`);
    await keptGood();
  });

  test("believes no length: what is short is cut, what is longer is not what was signed", async () => {
    await withGood({ verify: { sha256: sha256Of(RULES) } });
    const raw = (length: number, content: string) =>
      stand.answers.set("/feed", ({ socket }) => {
        socket.end(`HTTP/1.1 200 OK\r\nContent-Length: ${length}\r\n\r\n${content}`);
      });
    raw(1_000, RULES);
    await refused("cut");
    raw(5, RULES);
    await refused("checksum");
    stand.answers.set("/feed", ({ socket }) => void socket.end(`HTTP/1.1 200 OK\r\n\r\n${NEWER}`));
    await refused("length-unknown", {});
    await keptGood();
  });

  test("waits neither for silence nor for a drip", async () => {
    await withGood();
    const timeouts = { connect: "1s", idle: "1s", whole: "2s" };
    stand.answers.set("/feed", () => undefined);
    assert.match((await refused("timeout", { timeouts })).problem?.detail ?? "", /did not answer/);
    stand.answers.set("/feed", (_request, response) => void response.writeHead(200).write("x"));
    assert.match((await refused("timeout")).problem?.detail ?? "", /silent/);
    stand.answers.set("/feed", (_request, response) => {
      const drip = setInterval(() => response.write("x"), 100);
      response.on("close", () => clearInterval(drip));
    });
    assert.match((await refused("timeout")).problem?.detail ?? "", /too long/);
    await keptGood();
  });

  test("refuses what is empty, encoded, of another type, or an error", async () => {
    await withGood({ contentTypes: ["text/plain"] });
    stand.answers.set("/feed", file(""));
    await refused("empty");
    stand.answers.set("/feed", file(gzipSync(NEWER), { "content-encoding": "gzip" }));
    await refused("content-encoding");
    stand.answers.set("/feed", file("<html>sign in</html>", { "content-type": "text/html" }));
    await refused("content-type");
    stand.answers.set("/feed", (_request, response) => {
      response.writeHead(503, { "retry-after": "7200" }).end();
    });
    const { nextRunAt, lastTryAt } = await refused("status");
    const waitMs = Date.parse(nextRunAt ?? "") - Date.parse(lastTryAt ?? "");
    assert.ok(waitMs >= 7_200_000 && waitMs < 7_300_000, `${waitMs}`);
    await keptGood();
  });

  test("asks nobody whom the proxy does not let it ask, and trusts nobody else's key", async () => {
    await refused("egress-refused", { url: "https://feed.example.org/feed" });
    stand.answers.set("/feed", file(RULES));
    await refused("connection", { ca: undefined });
    await refused("pin", { pins: [`${"A".repeat(43)}=`] });
    assert.equal(stand.requests.length, 0);
    const spki = new X509Certificate(stand.certificate.cert).publicKey.export({
      format: "der",
      type: "spki",
    });
    const pin = Buffer.from(sha256Of(spki), "hex").toString("base64");
    assert.equal((await stand.run({ pins: [pin] })).problem, null);
  });

  test("hands over what it could not hand over before, also after a restart", async () => {
    stand.deliveryFault = "the platform is away";
    stand.answers.set("/feed", file(RULES));
    await stand.run();
    const status = await eventually("it failed", () => {
      const source = stand.downloader.status.sources[0];
      return source?.deliveryProblem === null ? null : source;
    });
    assert.equal(status?.isDelivered, false);
    stand.deliveryFault = null;
    await stand.start({ sources: [stand.source()] });
    assert.deepEqual(await stand.settled(), [RULES]);
    await stand.start({ sources: [stand.source({ as: { type: "watch-list", name: "other" } })] });
    await stand.settled();
    assert.deepEqual(
      stand.delivered.map(({ name }) => name),
      ["feed", "other"],
    );
  });

  test("other settings act at once, whatever was waited for", async () => {
    await refused("status", {});
    stand.answers.set("/moved", file(RULES));
    const sources = [stand.source({ url: `https://${HOST}/moved` })];
    await stand.downloader.apply(Settings.parse({ sources }), null);
    assert.deepEqual(
      await eventually("it ran", () => (stand.delivered.length > 0 ? stand.settled() : null)),
      [RULES],
    );
  });

  test("of a source that is named no more nothing stays; others go on undisturbed", async () => {
    stand.answers.set("/feed", file(RULES));
    const other = stand.source({ name: "other", as: { type: "watch-list", name: "other" } });
    await stand.start({ sources: [stand.source(), other] });
    await stand.settled();
    const count = stand.requests.length;
    await stand.start({ sources: [other] });
    await stand.settled();
    assert.deepEqual(await readdir(join(stand.dir, "store/sources")), ["other"]);
    assert.equal(stand.requests.length, count, "its time had not come");
  });
});

suite("signatures", () => {
  const key = makeMinisignKey();
  const verify = { minisign: key.publicKey };
  const publish = (content: string, atS: number, signer = key): void => {
    stand.answers.set("/feed", file(content));
    const signature = signLikeMinisign(signer, Buffer.from(content), `timestamp:${atS}\tfile:feed`);
    stand.answers.set("/feed.minisig", file(signature));
  };

  test("what is signed is taken; what is not, or by another, or was signed before, is not", async () => {
    publish(RULES, 1_700_000_000);
    assert.equal((await stand.run({ verify })).problem, null);
    publish(NEWER, 1_800_000_000, makeMinisignKey());
    assert.match((await refused("signature")).problem?.detail ?? "", /another key/);
    publish(NEWER, 1_600_000_000);
    assert.match((await refused("older")).problem?.detail ?? "", /2020-09-13.*2023-11-14/);
    stand.answers.set("/feed", file(`${NEWER}# and more\n`));
    assert.match((await refused("signature")).problem?.detail ?? "", /content/);
    stand.answers.set("/feed.minisig", file("none"));
    await refused("signature");
    stand.answers.delete("/feed.minisig");
    assert.match((await refused("status")).problem?.detail ?? "", /the signature: .*404/);
    await keptGood();
    publish(NEWER, 1_700_000_001);
    assert.equal((await stand.runAgain()).problem, null);
    assert.deepEqual(await stand.settled(), [RULES, NEWER]);
  });

  test("a demand that came later holds for what is there, too", async () => {
    await withGood();
    const count = stand.requests.length;
    publish(NEWER, 1_700_000_000, makeMinisignKey());
    await refused("signature", { verify });
    assert.ok(stand.requests.length > count);
    assert.equal(stand.requests.at(-2)?.headers["if-none-match"], undefined);
    await keptGood();
  });
});

suite("archives", () => {
  async function tarOf(entries: Readonly<Record<string, string>>): Promise<Buffer> {
    const made = pack();
    for (const [name, content] of Object.entries(entries)) made.entry({ name }, content);
    made.finalize();
    return gzipSync(await buffer(made));
  }
  const archive = { format: "tar.gz" } as const;

  test("a good one is handed over whole, or one file of it", async () => {
    const bytes = await tarOf({ "rules/a.rules": RULES });
    stand.answers.set("/feed", file(bytes));
    assert.equal((await stand.run({ archive })).current?.sha256, sha256Of(bytes));
    const { current, problem } = await stand.run({ archive: { ...archive, member: "rules/a.rules" } });
    assert.equal(problem, null);
    assert.equal(current?.sha256, sha256Of(RULES));
    assert.equal(current?.fetchedSha256, sha256Of(bytes));
    assert.equal((await stand.settled()).at(-1), RULES);
  });

  test("a bomb, one with names that lead out, and one that is none are not", async () => {
    await withGood();
    stand.answers.set("/feed", file(gzipSync(Buffer.alloc(64 * 2 ** 20))));
    await refused("archive", { archive });
    stand.answers.set("/feed", file(await tarOf({ "../../etc/cron.d/x": "x" })));
    assert.match((await refused("archive")).problem?.detail ?? "", /leads out/);
    stand.answers.set("/feed", file(NEWER));
    await refused("archive");
    await keptGood();
    const kept = await readdir(join(stand.dir, "store/sources/feed"));
    assert.deepEqual(kept.toSorted(), [`content-${sha256Of(RULES)}`, "record.json"]);
  });
});
