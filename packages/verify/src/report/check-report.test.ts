import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { test } from "node:test";
import { checkReport } from "./check-report.ts";
import { makeReport, signFiles } from "./report.ts";

const { privateKey, publicKey } = generateKeyPairSync("ed25519");
const pem = publicKey.export({ type: "spki", format: "pem" }).toString();
const stranger = generateKeyPairSync("ed25519");
const host = {
  host: "lab",
  kernel: "6.1",
  distribution: "Debian",
  node: "v24",
  machine: "x64",
  absent: ["AppArmor"],
};
const proof = {
  ok: true,
  instruments: [{ name: "one", passed: 1, failed: 0, absent: 0 }],
  attempts: 1,
  results: [],
  controls: null,
};
const report = makeReport({
  time: "2026-01-02T03:04:05.000Z",
  installation: "lab",
  bulkhead: "1",
  host,
  proof,
});
const { json, html } = signFiles(report, privateKey, "audit.html");

test("a report as it was written is the sensor's, with the page beside it", () => {
  const check = checkReport(json, html, pem);
  assert.deepEqual(check.faults, []);
  assert.ok(check.ok && check.page && !check.ownKey);
  assert.match(check.key, /^[0-9a-f]{64}$/);
  assert.equal(checkReport(json, null, null).ownKey, true);
});

test("one changed figure is found, in the report and in the page", () => {
  const edited = checkReport(json.replace(String.raw`\"failed\":0`, String.raw`\"failed\":1`), html, pem);
  assert.deepEqual(edited.faults, ["the signature is not over this report by this key"]);
  const page = checkReport(json, html.replace("AppArmor", "nothing"), pem);
  assert.deepEqual(page.faults, ["audit.html is not the page that was signed with it"]);
});

test("a report that a stranger signed is not the sensor's", () => {
  const forged = signFiles(report, stranger.privateKey, "audit.html");
  assert.equal(checkReport(forged.json, forged.html, null).ok, true, "whole, but whose?");
  assert.equal(checkReport(forged.json, forged.html, pem).ok, false);
});

test("what is no report is said to be none", () => {
  for (const text of ["", "{}", "[1]", json.slice(0, 100)])
    assert.throws(() => checkReport(text, null, pem), { code: "verify-report-unreadable" });
  assert.throws(() => checkReport(json, null, "no key"), { code: "verify-report-unreadable" });
});
