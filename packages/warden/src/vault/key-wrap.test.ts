import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { suite, test } from "node:test";
import { inspect } from "node:util";
import { unwrapKey, wrapKey } from "./key-wrap.ts";
import { openPhrase, phraseOf, recoveryKey } from "./recovery-phrase.ts";
import { Secret } from "./secret.ts";

const secret = (): Secret => new Secret(randomBytes(32));

suite("key wrapping", () => {
  test("a key comes back as what it was wrapped for, and only with the key that wrapped it", () => {
    const [master, key] = [secret(), new Secret(randomBytes(64))];
    const wrapped = wrapKey(master, key, "ids/store/persistent");
    assert.deepEqual(unwrapKey(master, wrapped, "ids/store/persistent")?.bytes, key.bytes);
    assert.equal(unwrapKey(master, wrapped, "pdns/store/persistent"), null);
    assert.equal(unwrapKey(secret(), wrapped, "ids/store/persistent"), null);
  });

  test("a changed byte anywhere is found, and a short tag is refused", () => {
    const master = secret();
    const wrapped = wrapKey(master, secret(), "x");
    for (const field of ["nonce", "ciphertext", "tag"] as const) {
      const bytes = Buffer.from(wrapped[field], "base64");
      bytes[0] = (bytes[0] ?? 0) ^ 1;
      assert.equal(unwrapKey(master, { ...wrapped, [field]: bytes.toString("base64") }, "x"), null, field);
    }
    const cut = Buffer.from(wrapped.tag, "base64").subarray(0, 4).toString("base64");
    assert.equal(unwrapKey(master, { ...wrapped, tag: cut }, "x"), null);
  });
});

suite("secrets", () => {
  test("say nothing in text, JSON or inspection, and are zeroes once erased", () => {
    const bytes = Buffer.from("swordfish");
    const hidden = new Secret(bytes);
    for (const text of [String(hidden), JSON.stringify({ hidden }), inspect({ hidden })]) {
      assert.doesNotMatch(text, /swordfish|73, 77|\[115/);
      assert.match(text, /\[secret\]/);
    }
    hidden.erase();
    assert.ok(bytes.every((byte) => byte === 0));
  });

  test("a recovery phrase is 24 words, and opens whatever its blanks and letters' case", () => {
    const entropy = secret();
    const phrase = phraseOf(entropy);
    assert.equal(phrase.split(" ").length, 24);
    const opened = openPhrase(`  ${phrase.toUpperCase().replaceAll(" ", "\n ")}  `);
    assert.ok(opened !== null);
    assert.deepEqual(recoveryKey(opened).bytes, recoveryKey(entropy).bytes);
    assert.equal(openPhrase(phrase.split(" ").toReversed().join(" ")), null, "the checksum is looked at");
    assert.equal(openPhrase("one two three"), null);
  });
});
