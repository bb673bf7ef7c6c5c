/** Heads of requests and answers. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import {
  judgeHead,
  mediaTypeOf,
  parseContentRange,
  requestHeaders,
  retryAfterMs,
  strongValidator,
  validatorsOf,
} from "./http-head.ts";

const URL_A = new URL("https://a.example.net/feed");
const MODIFIED = "Wed, 01 Jan 2025 00:00:00 GMT";

suite("request", () => {
  const validators = { url: URL_A.href, etag: '"1"', lastModified: MODIFIED };
  const cut = { url: URL_A.href, validator: '"2"', bytes: 7 };

  test("asks whether there is another version, of the address that the version came from", () => {
    const headers = requestHeaders(URL_A, validators, null);
    assert.equal(headers["if-none-match"], '"1"');
    assert.equal(headers["if-modified-since"], MODIFIED);
    assert.equal(headers["accept-encoding"], "identity");
    const elsewhere = requestHeaders(new URL("https://b.example.net/feed"), validators, cut);
    assert.deepEqual(Object.keys(elsewhere), ["accept", "accept-encoding", "user-agent"]);
  });

  test("goes on where it was cut, and then with nothing else", () => {
    const headers = requestHeaders(URL_A, validators, cut);
    assert.equal(headers["range"], "bytes=7-");
    assert.equal(headers["if-range"], '"2"');
    assert.equal(headers["if-none-match"], undefined);
  });
});

suite("answer", () => {
  test("validators that are none are left out", () => {
    const of = (etag: string, modified: string) => validatorsOf(URL_A, { etag, "last-modified": modified });
    assert.deepEqual(of('W/"x"', MODIFIED), { url: URL_A.href, etag: 'W/"x"', lastModified: MODIFIED });
    assert.deepEqual(of("x", "yesterday"), { url: URL_A.href, etag: null, lastModified: null });
    assert.equal(of('"a"\r\nx: y', MODIFIED).etag, null);
  });

  test("only what is strong lets a fetch go on", () => {
    const strong = (etag: string | null, lastModified: string | null, date?: string) =>
      strongValidator({ url: URL_A.href, etag, lastModified }, date);
    assert.equal(strong('"1"', null), '"1"');
    assert.equal(strong('W/"1"', MODIFIED, "Wed, 01 Jan 2025 01:00:00 GMT"), null);
    assert.equal(strong(null, MODIFIED, "Wed, 01 Jan 2025 01:00:00 GMT"), MODIFIED);
    assert.equal(strong(null, MODIFIED, "Wed, 01 Jan 2025 00:00:30 GMT"), null);
    assert.equal(strong(null, MODIFIED), null);
  });

  test("ranges", () => {
    assert.deepEqual(parseContentRange("bytes 5-9/10"), { from: 5, total: 10 });
    assert.deepEqual(parseContentRange("bytes 5-9/*"), { from: 5, total: null });
    for (const text of [undefined, "", "bytes 5-4/10", "bytes 5-8/10", "bytes */10", "items 5-9/10"]) {
      assert.equal(parseContentRange(text), null, text);
    }
  });

  test("when to come again", () => {
    const now = Date.parse(MODIFIED);
    assert.equal(retryAfterMs("120", now), 120_000);
    assert.equal(retryAfterMs("Wed, 01 Jan 2025 00:01:00 GMT", now), 60_000);
    assert.equal(retryAfterMs("Tue, 31 Dec 2024 00:00:00 GMT", now), 0);
    assert.equal(retryAfterMs("soon", now), null);
    assert.equal(retryAfterMs(undefined, now), null);
  });

  test("a type that is none is no type", () => {
    assert.equal(mediaTypeOf({ "content-type": "Text/Plain; charset=utf-8" }), "text/plain");
    assert.equal(mediaTypeOf({ "content-type": "../../etc" }), null);
    assert.equal(mediaTypeOf({}), null);
  });

  test("what is announced can be a reason to refuse", () => {
    const wanted = { maxBytes: 100, contentTypes: ["text/plain"], lengthNeeded: true };
    const plain = { "content-type": "text/plain; charset=utf-8", "content-length": "100" };
    judgeHead(plain, wanted, 0);
    judgeHead({ "content-type": "text/plain", "transfer-encoding": "chunked" }, wanted, 0);
    assert.throws(() => judgeHead(plain, wanted, 1), { reason: "too-large" });
    assert.throws(() => judgeHead({ ...plain, "content-type": "text/html" }, wanted, 0), {
      reason: "content-type",
    });
    assert.throws(() => judgeHead({ "content-length": "1" }, wanted, 0), { reason: "content-type" });
    assert.throws(() => judgeHead({ ...plain, "content-encoding": "gzip" }, wanted, 0), {
      reason: "content-encoding",
    });
    assert.throws(() => judgeHead({ "content-type": "text/plain" }, wanted, 0), {
      reason: "length-unknown",
    });
  });
});
