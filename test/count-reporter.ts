/** Reporter for the test runner's closing lines: what passed, failed and was skipped, and why, as one line of JSON. */
import { relative } from "node:path";
import type { TestEvent } from "node:test/reporters";

/** Of each failure; the whole stands further up. */
const LINES = 40;

/** A skipped or unfinished test is neither passed nor failed; a suite is its tests. */
export default async function* countReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const count = { passed: 0, failed: 0, skipped: 0 };
  const failures: { place: string; name: string; why: string }[] = [];
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    const { name, file = "", line = 0, details } = event.data;
    if (details.type === "suite") continue;
    if (event.type === "test:fail") {
      count.failed += 1;
      const why = textOf(event.data.details.error).split("\n").slice(0, LINES).join("\n");
      failures.push({ place: `${relative(process.cwd(), file)}:${line}`, name, why });
    } else if (event.data.skip !== undefined || event.data.todo !== undefined) count.skipped += 1;
    else count.passed += 1;
  }
  yield JSON.stringify({ ...count, failures });
}

/** What the test threw, rather than that it failed. */
function textOf(error: Error): string {
  const thrown = error.cause instanceof Error ? error.cause : error;
  return thrown.stack ?? thrown.message;
}
