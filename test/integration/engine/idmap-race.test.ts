/** Several processes of several installations claim id ranges at the same moment: none is given twice. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { promisify } from "node:util";

const PROCESSES = 6;
const CLAIMS = 20;
const program = (dir: string, installation: string) => `
  import { idmapClaims } from ${JSON.stringify(new URL("../../../packages/warden/src/engine/idmap-claims.ts", import.meta.url).href)};
  const claims = idmapClaims({
    installation: ${JSON.stringify(installation)},
    claimsDir: ${JSON.stringify(join(dir, "claims"))},
    recordsDir: ${JSON.stringify(join(dir, installation))},
  });
  const bases = await Promise.all(Array.from({ length: ${CLAIMS} }, (_, n) => claims.baseOf("i" + n)));
  console.log(JSON.stringify(bases));
`;

suite("idmap claims of several processes", () => {
  test("are all different", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "bulkhead-idmap-race-"));
    stack.defer(() => rm(dir, { recursive: true }));
    const outputs = await Promise.all(
      Array.from({ length: PROCESSES }, (_, n) =>
        promisify(execFile)(process.execPath, ["--input-type=module", "--eval", program(dir, `inst${n}`)]),
      ),
    );
    const bases = outputs.flatMap(({ stdout }) => JSON.parse(stdout) as readonly number[]);
    assert.equal(bases.length, PROCESSES * CLAIMS);
    assert.equal(new Set(bases).size, bases.length);
    assert.equal((await readdir(join(dir, "claims"))).length, bases.length);
  });
});
