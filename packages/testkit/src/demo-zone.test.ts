import assert from "node:assert/strict";
import { test } from "node:test";
import { answerQuestion } from "./demo-zone.ts";

const data = (name: string, type: "A" | "AAAA" | "CNAME" | "PTR" | "TXT" | "MX"): readonly unknown[] =>
  answerQuestion({ name, type }).answers.map((answer) => ("data" in answer ? answer.data : undefined));

test("named hosts are answered, aliases with what they stand for", () => {
  assert.deepEqual(data("web.corp.example", "A"), ["10.20.30.80"]);
  assert.deepEqual(data("www.corp.example", "A"), ["web.corp.example", "10.20.30.80"]);
  assert.deepEqual(data("WWW.Corp.Example.", "AAAA"), ["web.corp.example", "2001:db8:20::80"]);
  assert.deepEqual(data("80.30.20.10.in-addr.arpa", "PTR"), ["web.corp.example"]);
  assert.deepEqual(data("corp.example", "MX"), [{ preference: 10, exchange: "mail.corp.example" }]);
});

test("numbered hosts each have their own address", () => {
  assert.deepEqual(data("host-300.corp.example", "A"), ["10.21.1.44"]);
  assert.deepEqual(data("edge-300.cdn.corp.example", "AAAA"), ["2001:db8:22::12c"]);
});

test("an unknown name does not exist; a name without the type has no answers; others' zones are refused", () => {
  assert.equal(answerQuestion({ name: "nobody.corp.example", type: "A" }).rcode, "NXDOMAIN");
  assert.deepEqual(answerQuestion({ name: "web.corp.example", type: "MX" }), {
    rcode: "NOERROR",
    answers: [],
  });
  assert.equal(answerQuestion({ name: "web.other.example", type: "A" }).rcode, "REFUSED");
  assert.equal(answerQuestion({ name: "notcorp.example", type: "A" }).rcode, "REFUSED");
  assert.equal(answerQuestion({ name: "corp.example", type: "AXFR" }).rcode, "REFUSED");
});
