/** Reporter for the test runner's closing line: what passed, failed and was skipped, as one line of JSON. */
import type { TestEvent } from "node:test/reporters";

/** A skipped or unfinished test is neither passed nor failed; a suite is its tests. */
export default async function* countReporter(source: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const count = { passed: 0, failed: 0, skipped: 0 };
  for await (const event of source) {
    if (event.type !== "test:pass" && event.type !== "test:fail") continue;
    if (event.data.details.type === "suite") continue;
    if (event.type === "test:fail") count.failed += 1;
    else if (event.data.skip !== undefined || event.data.todo !== undefined) count.skipped += 1;
    else count.passed += 1;
  }
  yield JSON.stringify(count);
}
