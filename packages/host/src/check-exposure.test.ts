import assert from "node:assert/strict";
import { test } from "node:test";
import { judgeCorePattern } from "./check-exposure.ts";

test("a core handler behind a pipe that ignores limits is named, with what to do", () => {
  assert.equal(judgeCorePattern("core", false).state, "ok");
  assert.equal(judgeCorePattern("/var/crash/core.%p", false).state, "ok");
  const systemd = "|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h";
  assert.equal(judgeCorePattern(systemd, false).state, "ok");
  const apport = judgeCorePattern("|/usr/share/apport/apport -p%p -s%s -c%c", false);
  assert.equal(apport.state, "failed");
  assert.match(apport.detail, /apport/);
  assert.match(apport.advice, /core_pattern/);
  assert.equal(judgeCorePattern("|/usr/share/apport/apport %p", true).state, "absent");
});
