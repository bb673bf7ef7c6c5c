import assert from "node:assert/strict";
import { test } from "node:test";
import { CE_HEADER, EventRecord, MESSAGE_ID_HEADER } from "@bulkhead/schema";
import { readEvent } from "./event-record.ts";

const HEADERS = {
  [CE_HEADER.specversion]: "1.0",
  [CE_HEADER.id]: "a-1",
  [CE_HEADER.source]: "/lab/somebody-else",
  [CE_HEADER.type]: "suricata.dns",
  [CE_HEADER.time]: "2025-01-01T00:00:00.123456+00:00",
  [MESSAGE_ID_HEADER]: "a-1",
};

function read(
  change: Readonly<Record<string, string>> = {},
  text = '{"a":1}',
  subject = "ev.ids.suricata.dns",
) {
  const headers: Readonly<Record<string, string>> = { ...HEADERS, ...change };
  return readEvent({
    subject,
    sequence: 7,
    storedMs: Date.UTC(2025, 0, 2),
    header: (name) => headers[name] ?? "",
    text: () => text,
  });
}

test("attributes come from headers, the emitter from the subject", () => {
  const reading = read();
  assert.ok(reading.ok);
  assert.deepEqual(EventRecord.parse(reading.event), {
    id: "a-1",
    instrument: "ids",
    type: "suricata.dns",
    time: "2025-01-01T00:00:00.123456+00:00",
    stored: "2025-01-02T00:00:00.000Z",
    sequence: 7,
    data: { a: 1 },
  });
});

test("what cannot be read says why", () => {
  const bad = [
    read({ [CE_HEADER.id]: "" }),
    read({ [CE_HEADER.id]: "x".repeat(129) }),
    read({ [CE_HEADER.id]: "a b" }),
    read({ [MESSAGE_ID_HEADER]: "another" }),
    read({ [CE_HEADER.specversion]: "0.3" }),
    read({ [CE_HEADER.type]: "suricata.alert" }),
    read({ [CE_HEADER.time]: "yesterday" }),
    read({ [CE_HEADER.time]: "2025-13-41T00:00:00Z" }),
    read({}, "not JSON"),
    read({}, ""),
    read({}, "{}", "ev.IDS.suricata.dns"),
    read({}, "{}", "ev.ids"),
    read({}, "{}", "svc.ids.log"),
  ];
  for (const reading of bad) assert.ok(!reading.ok && reading.reason !== "");
  const thrown = readEvent({
    subject: "ev.ids.suricata.dns",
    sequence: 1,
    storedMs: 0,
    header: () => {
      throw new Error("bad headers");
    },
    text: () => "{}",
  });
  assert.deepEqual(thrown, { ok: false, reason: "headers that are none" });
});

test("a record without a message id is an event all the same", () => {
  assert.ok(read({ [MESSAGE_ID_HEADER]: "" }).ok);
});
