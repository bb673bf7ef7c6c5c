import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEngineLine, parseLastCounters, parseRuleFaults } from "./engine-log.ts";

/** As `suricata -T` 7.0.10 prints them. */
function line(level: string, message: string): string {
  const engine = { message, thread_name: "Suricata-Main", module: "detect" };
  return JSON.stringify({
    timestamp: "2026-01-02T03:04:05.000006+0000",
    log_level: level,
    event_type: "engine",
    engine,
  });
}

test("engine lines keep level and message; others pass as they are", () => {
  assert.deepEqual(parseEngineLine(line("Warning", "careful\n")), { level: "warn", message: "careful" });
  assert.deepEqual(parseEngineLine(line("Perf", "fast")), { level: "debug", message: "fast" });
  for (const other of ["plain words", "{", "[]", "1", "null", '{"log_level":1}']) {
    assert.deepEqual(parseEngineLine(other), { level: "info", message: other });
  }
});

test("each fault has its place and the reason that was said before it", () => {
  const output = [
    line("Notice", "This is Suricata"),
    line("Error", "unknown rule keyword 'nosuch'."),
    line(
      "Error",
      'error parsing signature "alert (msg:\\"x\\";)" from file /data/rules/v/000-local.rules at line 5',
    ),
    line("Error", 'Duplicate signature "alert"'),
    line("Error", 'error parsing signature "alert" from file /etc/suricata/rules/dns-events.rules at line 6'),
    line("Error", "Loading signatures failed."),
  ].map(parseEngineLine);
  const nameOf = (path: string) => (path.endsWith("000-local.rules") ? "local.rules" : undefined);
  assert.deepEqual(parseRuleFaults(output, nameOf), [
    { file: "local.rules", line: 5, message: "unknown rule keyword 'nosuch'." },
    { file: "/etc/suricata/rules/dns-events.rules", line: 6, message: 'Duplicate signature "alert"' },
  ]);
});

test("an error of the configuration stands by itself", () => {
  const output = [line("Error", "failed to parse address var"), line("Error", "Loading signatures failed.")];
  assert.deepEqual(
    parseRuleFaults(output.map(parseEngineLine), () => undefined),
    [{ message: "failed to parse address var" }],
  );
});

test("the last counters of a capture", () => {
  const message = "mon0: packets: 1234, drops: 5 (0.41%), invalid chksum: 0";
  assert.deepEqual(parseLastCounters(message), { packets: 1_234, drops: 5 });
  assert.equal(parseLastCounters("Threads created"), null);
});
