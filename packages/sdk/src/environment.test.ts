import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEnvironment } from "./environment.ts";

test("places are fixed inside a container, and may be moved by variables", () => {
  assert.deepEqual(parseEnvironment({ BULKHEAD_INSTRUMENT: "ids" }), {
    instrument: "ids",
    busSocket: "/run/bulkhead/bus.sock",
    uiSocket: "/run/bulkhead/ui.sock",
    dataDir: "/data",
    inboxDir: "/inbox",
    resourcesDir: "/resources",
  });
  const moved = parseEnvironment({ BULKHEAD_INSTRUMENT: "ids", BULKHEAD_DATA_DIR: "/tmp/x" });
  assert.equal(moved.dataDir, "/tmp/x");
});

test("no name, or one that is none, is an error", () => {
  for (const name of [undefined, "", "Ids", "a b", "-a"]) {
    assert.throws(() => parseEnvironment({ BULKHEAD_INSTRUMENT: name }), { code: "sdk-no-name" });
  }
});
