import assert from "node:assert/strict";
import { test } from "node:test";
import { EveDns, normaliseName, normaliseTerm, parseAnswers } from "./dns-record.ts";

function answers(dns: object): readonly string[] {
  return parseAnswers(EveDns.parse({ event_type: "dns", dns })).map(
    (r) => `${r.rrname} ${r.rrtype} ${r.rdata}`,
  );
}

test("version 2 with answers: each record under its own name, chains included", () => {
  const dns = {
    version: 2,
    type: "answer",
    id: 12,
    rcode: "NOERROR",
    rrname: "WWW.Example.com",
    rrtype: "A",
    answers: [
      { rrname: "WWW.Example.com", rrtype: "CNAME", ttl: 60, rdata: "edge.Example.NET." },
      { rrname: "edge.example.net", rrtype: "A", ttl: 60, rdata: "192.0.2.1" },
      { rrname: "edge.example.net", rrtype: "A", ttl: 60, rdata: "192.0.2.1" },
    ],
    grouped: { CNAME: ["edge.example.net"], A: ["192.0.2.1"] },
  };
  assert.deepEqual(answers(dns), ["www.example.com CNAME edge.example.net", "edge.example.net A 192.0.2.1"]);
});

test("version 2 with the grouped form alone: under the name that was asked for", () => {
  const grouped = { A: ["192.0.2.1", "192.0.2.2"], AAAA: ["2001:0DB8:0000:0000:0000:0000:0000:0001"] };
  assert.deepEqual(answers({ version: 2, type: "answer", rrname: "a.example", rrtype: "A", grouped }), [
    "a.example A 192.0.2.1",
    "a.example A 192.0.2.2",
    "a.example AAAA 2001:db8::1",
  ]);
});

test("version 3: a response, its question in a list", () => {
  const queries = [{ rrname: "mail.example", rrtype: "MX" }];
  const full = [{ rrname: "mail.example", rrtype: "MX", ttl: 1, rdata: "mx.Mail.example" }];
  assert.deepEqual(answers({ version: 3, type: "response", queries, answers: full }), [
    "mail.example MX mx.Mail.example",
  ]);
  assert.deepEqual(answers({ version: 3, type: "response", queries, grouped: { TXT: ["v=spf1 -all"] } }), [
    "mail.example TXT v=spf1 -all",
  ]);
  assert.deepEqual(answers({ version: 3, type: "request", queries }), []);
});

test("structured data keeps its values; questions and names that do not exist are no records", () => {
  const soa = { mname: "ns.example", rname: "root.example", serial: 1 };
  const record = { rrname: "example", rrtype: "SOA", ttl: 1, rdata: soa };
  assert.deepEqual(answers({ type: "answer", rrname: "example", answers: [record] }), [
    `example SOA ${JSON.stringify(soa)}`,
  ]);
  assert.deepEqual(answers({ version: 2, type: "query", rrname: "a.example", rrtype: "A" }), []);
  assert.deepEqual(
    answers({ version: 2, type: "answer", rcode: "NXDOMAIN", rrname: "no.example", rrtype: "A" }),
    [],
  );
  assert.deepEqual(answers({ type: "answer", rrname: "a", answers: [{ rrname: "a", rrtype: "A" }] }), []);
});

test("a record of another event type is no DNS record", () => {
  assert.equal(EveDns.safeParse({ event_type: "tls", dns: { type: "answer" } }).success, false);
  assert.equal(EveDns.safeParse({ event_type: "dns" }).success, false);
});

test("names and addresses have one spelling", () => {
  assert.equal(normaliseName("WWW.Example.COM."), "www.example.com");
  assert.equal(normaliseName("."), ".");
  assert.equal(normaliseTerm(" 2001:DB8:0:0:0:0:0:1 "), "2001:db8::1");
  assert.equal(normaliseTerm("::FFFF:192.0.2.1"), normaliseTerm("::ffff:c000:201"));
  assert.equal(normaliseTerm("192.0.2.1"), "192.0.2.1");
});
