/** What `bulkhead new instrument` makes: it parses, type-checks, passes its own test and is formatted; nothing is overwritten. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { Manifest } from "@bulkhead/schema";
import { parse } from "yaml";

const ROOT = join(import.meta.dirname, "../../..");
const BIN = join(ROOT, "node_modules/.bin");
/** The shortest and the longest that there is: lines must not need another break. */
const NAMES = ["x", "twenty-four-characters-x"];

let dir = "";

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "bulkhead-new-"));
  await symlink(join(ROOT, "node_modules"), join(dir, "node_modules"));
  for (const file of ["package.json", "tsconfig.json", ".oxfmtrc.json"])
    await cp(join(ROOT, file), join(dir, file));
  await mkdir(join(dir, "instruments"));
});

after(() => rm(dir, { recursive: true, force: true }));

interface Ended {
  readonly code: number | string | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[]): Promise<Ended> {
  const { promise, resolve } = Promise.withResolvers<Ended>();
  // A test runner inside a test runner would report to the outer one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  execFile(file, [...args], { cwd: dir, env }, (error, stdout, stderr) =>
    resolve({ code: error === null ? 0 : (error.code ?? null), stdout, stderr }),
  );
  return promise;
}

const cli = (...args: readonly string[]): Promise<Ended> =>
  run(process.execPath, [
    "--disable-warning=ExperimentalWarning",
    join(ROOT, "packages/cli/src/main.ts"),
    "new",
    "instrument",
    ...args,
  ]);
const here = ["--dir", "instruments"];

async function refusal(...args: readonly string[]): Promise<readonly unknown[]> {
  const { code, stdout } = await cli(...args, "--json");
  // As main.ts prints an error.
  return [code, (JSON.parse(stdout) as { readonly error: { readonly code: string } }).error.code];
}

test("what it makes is a package that works, whatever its name", async () => {
  for (const name of NAMES) {
    const made = await cli(name, ...here);
    assert.equal(made.code, 0, made.stderr);
    assert.match(made.stdout, new RegExp(`node --test 'instruments/${name}/src/`));
    const text = await readFile(join(dir, "instruments", name, "instrument.yaml"), "utf8");
    assert.equal(Manifest.parse(parse(text)).name, name);
  }
  const [types, format, ...tests] = await Promise.all([
    run(join(BIN, "tsc"), ["--noEmit"]),
    run(join(BIN, "oxfmt"), ["--check", "instruments"]),
    ...NAMES.map((name) => run(process.execPath, ["--test", `instruments/${name}/src/*.test.ts`])),
  ]);
  assert.equal(types.code, 0, types.stdout);
  assert.equal(format.code, 0, format.stdout + format.stderr);
  for (const { code, stdout } of tests) {
    assert.equal(code, 0, stdout);
    assert.match(stdout, /pass 3/);
  }
});

test("a bad name, a folder that is there and a package that is there are refused, and nothing is written", async () => {
  await mkdir(join(dir, "instruments", "mine"));
  await writeFile(join(dir, "instruments", "mine", "notes"), "mine");
  assert.deepEqual(await refusal("Port_Notes", ...here), [2, "bad-argument"]);
  assert.deepEqual(await refusal("../out", ...here), [2, "bad-argument"]);
  assert.deepEqual(await refusal("platform", ...here), [2, "bad-argument"]);
  assert.deepEqual(await refusal("mine", ...here), [2, "folder-exists"]);
  assert.deepEqual(await refusal("suricata", ...here), [2, "name-taken"]);
  assert.deepEqual(await readdir(join(dir, "instruments", "mine")), ["notes"]);
  assert.deepEqual(
    (await readdir(join(dir, "instruments"))).filter((name) => !NAMES.includes(name)),
    ["mine"],
  );
});
