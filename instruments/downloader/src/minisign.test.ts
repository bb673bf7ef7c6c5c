/** Signatures that minisign 0.11 made (its own program, not this code), and what is left of them when something is changed. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { suite, test } from "node:test";
import {
  parsePublicKey,
  parseSignature,
  type SignedContent,
  signedAtMs,
  verifySignature,
} from "./minisign.ts";

const KEY = "RWQyYQAtk2xy74ctNPWAOGsZKwo8LrjwrpSEr8RiKfY1dU144kIu+HYT";
const CONTENT = Buffer.from('alert tcp any any -> any any (msg:"x"; sid:1; rev:1;)\n');
const SIGNED = `untrusted comment: signature from minisign secret key
RUQyYQAtk2xy7wdyZf8v2anhgjZB0tW0bsZdxheTyE/uzd0oryhL+PBUv1Mah7E2gdPiv9KqJ0m7ql1Oaz2xfpttm+Gua7ktHgk=
trusted comment: timestamp:1700000000\tfile:feed.rules\thashed
gjgFRS58iqMeRSnRB8QY+qvjg9o+EkVmBDyBmu4HgJH6hsvScFhDTabNTl37c0bRrfWdXPiMu3DvxEwtrcp8AA==
`;
/** Made by `minisign -l`: over the content itself. */
const OLD = `untrusted comment: signature from minisign secret key
RWQyYQAtk2xy7xuTg5RWxO+msNcyr47HStHKUlKxq5Ce1fFbqjjkDsmmKjUuI7fFv0B6N9bfT0yo0aB2h5MmJXFLjBOdPc0qSgo=
trusted comment: timestamp:1700000001\tfile:feed.rules
v3agHi551HfWjFyItrBrjE3Goq2+OYwTfw2T6C5G9/GqvXTZ5kOD/LnDF4vsl8FSpfaOl6sLmEoXc+4QwQiCBg==
`;
const OTHER_KEYS = `untrusted comment: signature from minisign secret key
RUTV/9Y6loSiL86gnAxyQ5wiTWj0LBDR+ufaDzThYv/2yjuDCMDECqY6ZMjHVk9rX8afIBHdwlcfOivjKPmMWqaQ4a63eDOv9QA=
trusted comment: timestamp:1795570454\tfile:feed.rules\thashed
vDHSwe9fn1Rp1CyWs2qPxWThE/g2dugHxhlltkkZFWzX+V9Ya0XnqMi0KjThaxv91p3D65BOkL0STR7XHqCMBQ==
`;

function contentOf(bytes: Buffer, sizeBytes = bytes.length): SignedContent {
  const blake2b512 = createHash("blake2b512").update(bytes).digest();
  return { sizeBytes, blake2b512, whole: async () => bytes };
}

async function verify(signature: string, content = contentOf(CONTENT)): Promise<string> {
  return verifySignature(content, parseSignature(signature), [parsePublicKey(KEY)]);
}

suite("minisign", () => {
  test("its own signatures hold, new and old, and the trusted comment has the time", async () => {
    assert.equal(signedAtMs(await verify(SIGNED)), 1_700_000_000_000);
    assert.equal(signedAtMs(await verify(OLD)), 1_700_000_001_000);
    assert.equal(signedAtMs(await verify(SIGNED.replaceAll("\n", "\r\n"))), 1_700_000_000_000);
  });

  test("a changed content, comment or signature does not", async () => {
    const changed = contentOf(Buffer.concat([CONTENT, Buffer.from("\n")]));
    await assert.rejects(verify(SIGNED, changed), { reason: "signature", message: /content/ });
    await assert.rejects(verify(OLD, changed), { reason: "signature", message: /content/ });
    const later = SIGNED.replace("timestamp:1700000000", "timestamp:1800000000");
    await assert.rejects(verify(later), { reason: "signature", message: /trusted comment/ });
    // The two algorithms sign different things: one is not passed off as the other.
    await assert.rejects(verify(SIGNED.replace("\nRU", "\nRW")), { message: /content/ });
    await assert.rejects(verify(OTHER_KEYS), { message: /another key, 2FA284963AD6FFD5/ });
  });

  test("what is no signature is said to be none", () => {
    for (const text of [
      "",
      "garbage",
      SIGNED.split("\n").slice(0, 2).join("\n"),
      `${SIGNED}more\n`,
      SIGNED.replace("untrusted comment: ", ""),
      SIGNED.replace("RUQy", "RUQ!"),
      SIGNED.replace("\nRU", "\nXX"),
    ]) {
      assert.throws(() => parseSignature(text), { reason: "signature" }, text);
    }
    assert.throws(() => parsePublicKey(KEY.replace("RW", "XX")), { reason: "signature" });
  });

  test("an old signature is not taken for what does not fit into memory", async () => {
    await assert.rejects(verify(OLD, contentOf(CONTENT, 33 * 1024 * 1024)), { message: /at most/ });
  });

  test("a comment without a time has none", () => {
    assert.equal(signedAtMs("no time here"), null);
    assert.equal(signedAtMs("file:timestamp:12"), null);
    assert.equal(signedAtMs("timestamp:12"), 12_000);
  });
});
