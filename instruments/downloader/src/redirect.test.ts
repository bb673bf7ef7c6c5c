/** Where an answer may lead. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { follow, targetOf } from "./redirect.ts";

const FROM = new URL("https://a.example.net/x/feed");

test("within the host, and to hosts that are named", () => {
  assert.equal(follow(FROM, "/y", []).href, "https://a.example.net/y");
  assert.equal(follow(FROM, "other#part", []).href, "https://a.example.net/x/other");
  assert.equal(follow(FROM, "https://B.example.net/z", ["b.example.net:443"]).host, "b.example.net");
  const clear = new URL("http://a.example.net/feed");
  assert.equal(follow(clear, "https://a.example.net/feed", ["A.example.net:443"]).protocol, "https:");
});

test("nowhere else", () => {
  const refused: readonly (readonly [string | undefined, readonly string[]])[] = [
    [undefined, []],
    ["https://b.example.net/", []],
    ["https://b.example.net:8443/", ["b.example.net:443"]],
    ["https://a.example.net.evil.example/", []],
    ["http://a.example.net/feed", ["http://a.example.net:80"]],
    ["https://user:secret@a.example.net/", []],
    ["file:///etc/passwd", []],
    ["data:text/plain,alert", []],
    ["https://", []],
  ];
  for (const [location, allowed] of refused) {
    assert.throws(() => follow(FROM, location, allowed), { reason: "redirect" }, location);
  }
});

test("a target is written as the site's grants write it", () => {
  assert.equal(targetOf(FROM), "a.example.net:443");
  assert.equal(targetOf(new URL("http://a.example.net:8080/")), "http://a.example.net:8080");
});
