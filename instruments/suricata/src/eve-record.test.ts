import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEveHead } from "./eve-record.ts";

const head = (text: string) => parseEveHead(Buffer.from(text));

test("type and time are read off the head, the time as RFC 3339", () => {
  const line =
    '{"timestamp":"2026-01-02T03:04:05.000006+0000","flow_id":1,"in_iface":"mon0","event_type":"ftp_data","x":{"event_type":"forged"}}';
  assert.deepEqual(head(line), { type: "ftp_data", time: "2026-01-02T03:04:05.000006+00:00" });
  assert.equal(head(line.replace("+0000", "-0330"))?.time, "2026-01-02T03:04:05.000006-03:30");
});

test("what is no whole EVE record is none", () => {
  const good = '{"timestamp":"2026-01-02T03:04:05.000006+0000","event_type":"dns","dns":{}}';
  assert.notEqual(head(good), null);
  const bad = [
    "",
    "{}",
    good.slice(0, -2),
    good.slice(5),
    good.replace('dns"', 'd ns"'),
    good.replace("event_type", "eventtype"),
    good.replace("+0000", ""),
    `{"timestamp":"2026-01-02T03:04:05.000006+0000","x":"${"a".repeat(2_000)}","event_type":"dns"}`,
  ];
  for (const line of bad) assert.equal(head(line), null, line.slice(0, 80));
});
