/** The verifier of audit logs: every way to change a log is found, and named with its place. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { AuditCheckpoint, AuditHead, AuditRecord } from "@bulkhead/schema";
import fc from "fast-check";
import { type AuditFault, type AuditVerdict, compareAudits, verifyAudit } from "./audit-chain.ts";
import {
  AUDIT_GENESIS,
  type AuditTip,
  checkpointMessage,
  hashOfRecord,
  headMessage,
  renderAuditLine,
  sealEntry,
} from "./audit-entry.ts";
import { digestOf } from "./canonical.ts";

const KEY = "a".repeat(64);
const TIME = "2026-01-02T03:04:05.678Z";

/** A stand-in for Ed25519: who knows the word can sign. */
function sign(message: Uint8Array, word = "secret"): string {
  return `${Buffer.from(digestOf([word, [...message]]).repeat(2), "hex")
    .toString("base64")
    .slice(0, 86)}==`;
}

const checkSignature = (message: Uint8Array, signature: string, key: string): boolean =>
  key === KEY && signature === sign(message);

function chain(count: number): readonly AuditRecord[] {
  const records: AuditRecord[] = [];
  let tip: AuditTip = AUDIT_GENESIS;
  for (let i = 1; i <= count; i += 1) {
    const record = sealEntry(
      { kind: "step", subject: "ids", detail: { number: i, note: "größer „…“", on: i % 2 === 0 } },
      "warden",
      TIME,
      tip,
    );
    records.push(record);
    tip = record;
  }
  return records;
}

function headOf(record: AuditRecord | undefined, word = "secret"): AuditHead {
  assert.ok(record);
  const head = { seq: record.seq, hash: record.hash, time: TIME };
  return { head, key: KEY, signature: sign(headMessage(head), word) };
}

function checkpointFor(removed: readonly AuditRecord[], word = "secret"): AuditCheckpoint {
  const [first] = removed;
  const last = removed.at(-1);
  assert.ok(first && last);
  const counts = { warden: removed.length, root: 0, sensord: 0 };
  const checkpoint = {
    from: first.seq,
    to: last.seq,
    prev: first.prev,
    hash: last.hash,
    removed: counts,
    time: TIME,
  };
  return { checkpoint, key: KEY, signature: sign(checkpointMessage(checkpoint), word) };
}

function bytesOf(lines: readonly (AuditRecord | AuditCheckpoint | string)[]): Buffer {
  return Buffer.from(
    lines.map((line) => `${typeof line === "string" ? line : renderAuditLine(line)}\n`).join(""),
  );
}

function verify(bytes: Uint8Array, head: AuditHead | null, live = false): AuditVerdict {
  return verifyAudit({
    files: [{ name: "log", bytes }],
    head: { file: "head", value: head },
    checkSignature,
    live,
  });
}

const places = (faults: readonly AuditFault[]) => faults.map(({ kind, line, seq }) => [kind, line, seq]);

/** An entry that was changed by somebody who knows how hashes are made. */
function forged(record: AuditRecord | undefined, change: Partial<AuditRecord>): AuditRecord {
  assert.ok(record);
  const changed = { ...record, ...change };
  return { ...changed, hash: hashOfRecord(changed) };
}

const LOG = chain(8);
const HEAD = headOf(LOG[7]);

test("a log as it was written holds", () => {
  const verdict = verify(bytesOf(LOG), HEAD);
  assert.deepEqual(verdict.faults, []);
  assert.ok(verdict.ok);
  assert.deepEqual([verdict.entries, verdict.first, verdict.last?.seq, verdict.unsigned], [8, 1, 8, 0]);
});

test("each manipulation is found, with its place", async (t) => {
  const [one, two, three, four, five, six, seven, eight] = LOG;
  assert.ok(one && two && three && four && five && six && seven && eight);
  const cases: readonly (readonly [string, readonly (AuditRecord | AuditCheckpoint | string)[], unknown])[] =
    [
      [
        "edited",
        [one, two, { ...three, subject: "pdns" }, four, five, six, seven, eight],
        [["edited", 3, 3]],
      ],
      [
        "edited, with a hash that fits",
        [one, two, forged(three, { subject: "pdns" }), four, five, six, seven, eight],
        [["replaced", 4, 4]],
      ],
      ["cut out", [one, two, five, six, seven, eight], [["missing", 3, 3]]],
      ["the beginning cut off", [three, four, five, six, seven, eight], [["missing", 1, 1]]],
      ["the end cut off", [one, two, three, four, five], [["cut-off", 5, 6]]],
      [
        "reordered",
        [one, two, four, three, five, six, seven, eight],
        [
          ["missing", 3, 3],
          ["out-of-place", 4, 3],
        ],
      ],
      [
        "inserted",
        [one, two, three, forged(four, { subject: "x" }), four, five, six, seven, eight],
        [
          ["out-of-place", 5, 4],
          ["replaced", 6, 5],
        ],
      ],
      ["twice", [one, two, two, three, four, five, six, seven, eight], [["out-of-place", 3, 2]]],
      ["no JSON", [one, two, "rubbish", four, five, six, seven, eight], [["unreadable", 3, 3]]],
      [
        "the same data otherwise written",
        [one, two, JSON.stringify(three), four, five, six, seven, eight],
        [["unreadable", 3, 3]],
      ],
      [
        "the last one replaced",
        [one, two, three, four, five, six, seven, forged(eight, { subject: "x" })],
        [["replaced", 8, 8]],
      ],
      [
        "written anew from the middle on, without the key",
        [one, two, three, ...rewrittenFrom(3)],
        [["replaced", 8, 8]],
      ],
      [
        "a checkpoint without the key",
        [checkpointFor([one, two], "guess"), three, four, five, six, seven, eight],
        [["bad-signature", 1, 1]],
      ],
      [
        "a checkpoint elsewhere",
        [one, checkpointFor([three, four]), five, six, seven, eight],
        [["missing", 2, 2]],
      ],
    ];
  for (const [name, lines, expected] of cases) {
    await t.test(name, () => {
      const verdict = verify(bytesOf(lines), HEAD);
      assert.equal(verdict.ok, false);
      assert.deepEqual(places(verdict.faults), expected);
    });
  }
});

function rewrittenFrom(index: number): readonly AuditRecord[] {
  let tip: AuditTip = LOG[index - 1] ?? AUDIT_GENESIS;
  return LOG.slice(index).map((record) => {
    const { kind, detail } = record;
    const sealed = sealEntry({ kind, subject: "rewritten", detail }, "warden", TIME, tip);
    tip = sealed;
    return sealed;
  });
}

test("checkpoints that the key signed stand for what was removed, in front and in the middle", () => {
  const front = verify(bytesOf([checkpointFor(LOG.slice(0, 3)), ...LOG.slice(3)]), HEAD);
  assert.deepEqual([front.faults, front.removed, front.first], [[], 3, 4]);
  const middle = verify(bytesOf([...LOG.slice(0, 2), checkpointFor(LOG.slice(2, 6)), ...LOG.slice(6)]), HEAD);
  assert.deepEqual([middle.faults, middle.removed], [[], 4]);
});

test("a rotation that was broken off leaves entries and their checkpoint: both hold", () => {
  const files = [
    { name: "1", bytes: bytesOf(LOG.slice(0, 3)) },
    { name: "2", bytes: bytesOf([checkpointFor(LOG.slice(0, 5)), ...LOG.slice(5)]) },
  ];
  const verdict = verifyAudit({ files, head: { file: "head", value: HEAD }, checkSignature, live: true });
  assert.deepEqual(verdict.faults, []);
});

test("without a head, or with one that another key signed, the end cannot be trusted", () => {
  assert.deepEqual(places(verify(bytesOf(LOG), null).faults), [["head-missing", 0, null]]);
  assert.deepEqual(places(verify(bytesOf(LOG), headOf(LOG[7], "guess")).faults), [["bad-signature", 0, 8]]);
});

test("a line that is being written is no fault of a live log, but one before the head is", () => {
  const torn = bytesOf(LOG).subarray(0, -10);
  const live = verify(torn, headOf(LOG[6]), true);
  assert.ok(live.ok && live.tornBytes > 0);
  assert.equal(verify(torn, HEAD, true).ok, false);
  assert.equal(verify(torn, headOf(LOG[6]), false).ok, false);
});

test("two copies that differ tell where the log was rewritten", () => {
  const whole = { name: "whole", verdict: verify(bytesOf(LOG), HEAD) };
  const rewritten = [...LOG.slice(0, 3), ...rewrittenFrom(3)];
  const other = { name: "other", verdict: verify(bytesOf(rewritten), headOf(rewritten[7])) };
  assert.ok(other.verdict.ok, "by itself it holds: it was signed with the key");
  assert.deepEqual(places(compareAudits(whole, other)), [["differs", 0, 4]]);
  assert.deepEqual(
    compareAudits(whole, { name: "older", verdict: verify(bytesOf(LOG.slice(0, 5)), headOf(LOG[4])) }),
    [],
  );
});

test("property: any change of any single byte of any entry is found", () => {
  const bytes = bytesOf(LOG);
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 255 }),
      fc.boolean(),
      (at, change, live) => {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ change;
        const verdict = verify(changed, HEAD, live);
        assert.equal(verdict.ok, false, `byte ${at} of ${bytes.length}`);
        const line = bytes.subarray(0, at).filter((byte) => byte === 0x0a).length + 1;
        // A newline that is gone is missed where the next line begins, at the latest.
        assert.ok(verdict.faults.some((fault) => fault.line >= line && fault.line <= line + 1));
      },
    ),
    { numRuns: 400 },
  );
});

test("property: any bytes that are removed or put in are found", () => {
  const bytes = bytesOf(LOG);
  fc.assert(
    fc.property(
      fc.nat(bytes.length - 1),
      fc.integer({ min: 1, max: 300 }),
      fc.uint8Array({ maxLength: 4 }),
      (at, gone, put) => {
        const changed = Buffer.concat([bytes.subarray(0, at), put, bytes.subarray(at + gone)]);
        fc.pre(!changed.equals(bytes));
        assert.equal(verify(changed, HEAD).ok, false);
      },
    ),
    { numRuns: 300 },
  );
});
