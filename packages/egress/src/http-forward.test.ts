import assert from "node:assert/strict";
import { test } from "node:test";
import { readHttpRequest } from "./http-forward.ts";
import { Pace } from "./pace.ts";

test("an absolute-form request names its target and path, and its Host is the same", () => {
  const read = (url: string, host: string, method = "GET") =>
    readHttpRequest({ method, url, headers: { host } });
  const target = { scheme: "http", host: "a.example.net", port: 80 };
  assert.deepEqual(read("http://a.example.net/x?y#", "A.example.net"), {
    outcome: "target",
    target,
    path: "/x?y#",
  });
  assert.deepEqual(read("http://a.example.net?y", "a.example.net:80"), {
    outcome: "target",
    target,
    path: "/?y",
  });
  const refused = (reason: string) => ({ outcome: "refused", reason });
  for (const url of [
    "/x",
    "https://a.example.net/",
    "http://u@a.example.net/",
    "http://10.0.0.1/",
    "http://[::1]/",
    "",
  ]) {
    assert.deepEqual(read(url, "a.example.net"), refused("request-invalid"), url);
  }
  assert.deepEqual(read("http://a.example.net/", "b.example.net"), refused("host-header-differs"));
  assert.deepEqual(read("http://a.example.net:81/", "a.example.net"), refused("host-header-differs"));
  assert.deepEqual(read("http://a.example.net/", "a.example.net", "TRACE"), refused("method-refused"));
});

test("a pace lets a burst through and then so many a second, whatever the clock does", () => {
  const pace = new Pace({ burst: 3, perSecond: 2, nowMs: 0 });
  assert.deepEqual(
    [0, 0, 0, 0].map((at) => pace.take(at)),
    [true, true, true, false],
  );
  assert.equal(pace.take(500), true);
  assert.equal(pace.take(500), false);
  assert.equal(pace.take(-1_000_000), false);
});
