/** Debian packages installed by the real apt on a private host, recorded, and taken away again: exactly those. */
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { runCommand } from "../../../packages/host/src/command.ts";
import { readRecords } from "../../../packages/host/src/host-records.ts";
import {
  ensurePackages,
  installedPackages,
  removeInstalledPackages,
} from "../../../packages/host/src/packages.ts";
import { isPrivateHost, layPrivateHost, runOnPrivateHost } from "./private-host.ts";

/** Small, without a service, on hardly any host; the second is there everywhere. */
const rare = "hello";
const common = "base-files";

if (!isPrivateHost()) {
  test("packages, on a private host", { timeout: 600_000 }, async () => {
    const { exitCode, output } = await runOnPrivateHost(import.meta.filename);
    assert.equal(exitCode, 0, output);
  });
} else {
  before(async () => {
    await layPrivateHost();
    await runCommand("dpkg", ["--purge", rare]);
  });

  test("what is missing is installed and recorded, what is there is not", { timeout: 300_000 }, async () => {
    assert.deepEqual(await ensurePackages([rare, common]), [rare]);
    assert.deepEqual(await installedPackages([rare]), [rare]);
    assert.deepEqual((await readRecords()).packages, [rare]);
    assert.deepEqual(await ensurePackages([rare, common]), []);
  });

  test(
    "a package that does not exist fails with apt's words, and installs nothing",
    { timeout: 300_000 },
    async () => {
      const absent = "bulkhead-no-such-package";
      await assert.rejects(ensurePackages([absent]), {
        code: "host-packages-failed",
        message: new RegExp(absent),
      });
      assert.deepEqual((await readRecords()).packages, [rare]);
    },
  );

  test("removal takes exactly what was recorded; again it is nothing", { timeout: 300_000 }, async () => {
    assert.deepEqual(await removeInstalledPackages(), [rare]);
    assert.deepEqual(await installedPackages([rare, common]), [common]);
    assert.deepEqual(await removeInstalledPackages(), []);
  });
}
