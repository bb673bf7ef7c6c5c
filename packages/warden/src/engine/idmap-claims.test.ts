import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import { isWardenError } from "../error.ts";
import {
  IDMAP_COUNT,
  IDMAP_FIRST_BASE,
  IDMAP_SIZE,
  idmapClaims,
  requireSubordinateIds,
} from "./idmap-claims.ts";

async function directory(stack: AsyncDisposableStack): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-idmap-"));
  stack.defer(() => rm(dir, { recursive: true }));
  return dir;
}

const places = (dir: string, installation: string) => ({
  installation,
  claimsDir: join(dir, "claims"),
  recordsDir: join(dir, installation),
});

suite("idmap claims", () => {
  test("a base is the instrument's for good, and nobody else's", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await directory(stack);
    const [one, two] = [idmapClaims(places(dir, "one")), idmapClaims(places(dir, "two"))];
    assert.equal(await one.recordedBase("ids"), null);
    const base = await one.baseOf("ids");
    assert.equal(base, IDMAP_FIRST_BASE);
    assert.equal(await two.baseOf("ids"), IDMAP_FIRST_BASE + IDMAP_SIZE);
    assert.equal(await one.baseOf("ids"), base);
    assert.equal(await idmapClaims(places(dir, "one")).recordedBase("ids"), base);
    assert.deepEqual(JSON.parse(await readFile(join(dir, "claims", String(base)), "utf8")), {
      installation: "one",
      instrument: "ids",
    });
  });

  test("a claim outlives its installation", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await directory(stack);
    const first = await idmapClaims(places(dir, "one")).baseOf("ids");
    await rm(join(dir, "one"), { recursive: true });
    assert.notEqual(await idmapClaims(places(dir, "one")).baseOf("ids"), first);
  });

  test("many calls at once for one instrument agree", async () => {
    await using stack = new AsyncDisposableStack();
    const claims = idmapClaims(places(await directory(stack), "one"));
    const bases = await Promise.all(Array.from({ length: 8 }, () => claims.baseOf("ids")));
    assert.equal(new Set(bases).size, 1);
    assert.equal(await claims.recordedBase("ids"), bases[0]);
  });

  test("a record without its claim, or with another's, is refused", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await directory(stack);
    const [one, two] = [idmapClaims(places(dir, "one")), idmapClaims(places(dir, "two"))];
    const foreign = await two.baseOf("ids");
    await mkdir(join(dir, "one"));
    await writeFile(join(dir, "one", "ids"), `${foreign}\n`);
    const refused = (error: unknown) => isWardenError(error, "idmap-claim-foreign");
    await assert.rejects(one.baseOf("ids"), refused);
    await writeFile(join(dir, "one", "ids"), `${foreign + 7 * IDMAP_SIZE}\n`);
    await assert.rejects(one.recordedBase("ids"), refused);
  });

  test("when all are used it says so, and takes none twice", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = await directory(stack);
    await mkdir(join(dir, "claims"));
    const bases = Array.from({ length: IDMAP_COUNT - 1 }, (_, n) => IDMAP_FIRST_BASE + n * IDMAP_SIZE);
    for (const base of bases) await writeFile(join(dir, "claims", String(base)), "");
    const claims = idmapClaims(places(dir, "one"));
    assert.equal(await claims.baseOf("last"), IDMAP_FIRST_BASE + (IDMAP_COUNT - 1) * IDMAP_SIZE);
    await assert.rejects(claims.baseOf("more"), (error) => isWardenError(error, "idmap-exhausted"));
    assert.equal((await readdir(join(dir, "claims"))).length, IDMAP_COUNT);
  });

  test("root must be allowed to map the whole range", async () => {
    await using stack = new AsyncDisposableStack();
    const file = join(await directory(stack), "subuid");
    const refused = (error: unknown) => isWardenError(error, "idmap-subid-missing");
    await assert.rejects(requireSubordinateIds([file]), refused);
    await writeFile(file, "root:1000000:65536\nlxd:1000000000:655360000\n");
    await assert.rejects(requireSubordinateIds([file]), refused);
    await writeFile(file, "root:1000000:65536\nroot:1000000000:655360000\n");
    await requireSubordinateIds([file]);
  });
});
