/** The launcher in a small checkout of its own, with Node from the lock file through the host's npm mirror. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const source = join(import.meta.dirname, "..", "..", "..");
const checkout = { dir: "" };

before(async () => {
  checkout.dir = await mkdtemp(join(tmpdir(), "bulkhead launcher "));
  const { dir } = checkout;
  await copyFile(join(source, "bulkhead"), join(dir, "bulkhead"));
  await mkdir(join(dir, "packages", "cli", "src"), { recursive: true });
  const main =
    "console.log(JSON.stringify({ args: process.argv.slice(2), node: process.version, cwd: process.cwd() }));\n";
  await writeFile(
    join(dir, "packages", "cli", "src", "main.ts"),
    `const typed: number = 1;\nvoid typed;\n${main}`,
  );
  await writeManifest("0.0.1");
});

after(async () => {
  await rm(checkout.dir, { recursive: true });
});

test(
  "from nothing: dependencies are installed, said on stderr; stdout is the CLI's alone",
  { timeout: 300_000 },
  async () => {
    const { exitCode, stdout, stderr } = await launch(join(checkout.dir, "bulkhead"), [
      "demo",
      "--json",
      "a b",
    ]);
    assert.equal(exitCode, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).args, ["demo", "--json", "a b"]);
    assert.match(JSON.parse(stdout).node, /^v24\./);
    assert.match(stderr, /bulkhead: installing npm dependencies/);
  },
);

test("again: nothing is said, from any directory and through a symlink to a symlink", async () => {
  const links = await mkdtemp(join(tmpdir(), "bulkhead-links-"));
  try {
    await symlink(join(checkout.dir, "bulkhead"), join(links, "one"));
    await symlink("one", join(links, "two"));
    const { exitCode, stdout, stderr } = await launch(join(links, "two"), ["status"], links);
    assert.deepEqual([exitCode, stderr], [0, ""]);
    assert.deepEqual(JSON.parse(stdout).args, ["status"]);
    assert.equal(JSON.parse(stdout).cwd, links);
  } finally {
    await rm(links, { recursive: true });
  }
});

test("it costs less than a tenth of a second over Node itself", async () => {
  const node = join(checkout.dir, "node_modules", `node-linux-${process.arch}`, "bin", "node");
  const main = join(checkout.dir, "packages", "cli", "src", "main.ts");
  const best = async (file: string, args: readonly string[]): Promise<number> => {
    const times: number[] = [];
    for (let round = 0; round < 7; round += 1) {
      const startedMs = performance.now();
      await launch(file, args);
      times.push(performance.now() - startedMs);
    }
    return Math.min(...times);
  };
  const bare = await best(node, [main]);
  const whole = await best(join(checkout.dir, "bulkhead"), []);
  assert.ok(whole - bare < 100, `${whole} ms beside ${bare} ms`);
});

test("a changed lock file is installed again, by one of two at once", { timeout: 300_000 }, async () => {
  await writeManifest("0.0.2");
  const bulkhead = join(checkout.dir, "bulkhead");
  const both = await Promise.all([launch(bulkhead, ["one"]), launch(bulkhead, ["two"])]);
  assert.deepEqual(
    both.map(({ exitCode }) => exitCode),
    [0, 0],
  );
  const said = both.map(({ stderr }) => stderr.split("installing npm dependencies").length - 1);
  assert.deepEqual(
    said.toSorted((a, b) => a - b),
    [0, 1],
  );
});

test("a damaged lock file fails, says so, and leaves stdout empty", { timeout: 300_000 }, async () => {
  const file = join(checkout.dir, "package-lock.json");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replaceAll(/"sha512-[^"]+"/g, `"sha512-${"A".repeat(86)}=="`));
  const { exitCode, stdout, stderr } = await launch(join(checkout.dir, "bulkhead"), ["status", "--json"]);
  assert.deepEqual([exitCode === 0, stdout], [false, ""]);
  assert.match(stderr, /npm ci failed/);
});

/** package.json and a lock file with nothing but this machine's Node, as the repository's lock has it. */
async function writeManifest(version: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(source, "package-lock.json"), "utf8")) as {
    packages: Record<string, { optionalDependencies?: Record<string, string> }>;
  };
  const name = `node-linux-${process.arch}`;
  const wanted = lock.packages[""]?.optionalDependencies?.[name] ?? assert.fail(`${name} in the lock file`);
  const manifest = {
    name: "launched",
    version,
    private: true,
    type: "module",
    dependencies: { [name]: wanted },
  };
  const { optional: _, ...node } = lock.packages[`node_modules/${name}`] as Record<string, unknown>;
  const packages = { "": manifest, [`node_modules/${name}`]: node };
  const text = JSON.stringify({ name: "launched", version, lockfileVersion: 3, requires: true, packages });
  await writeFile(join(checkout.dir, "package.json"), JSON.stringify(manifest));
  await writeFile(join(checkout.dir, "package-lock.json"), text);
}

async function launch(
  file: string,
  args: readonly string[],
  cwd = "/",
): Promise<{ readonly exitCode: number | null; readonly stdout: string; readonly stderr: string }> {
  const child = spawn(file, [...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  const { promise, resolve, reject } = Promise.withResolvers<number | null>();
  child.once("error", reject);
  child.once("close", resolve);
  const exitCode = await promise;
  return {
    exitCode,
    stdout: Buffer.concat(out).toString("utf8"),
    stderr: Buffer.concat(err).toString("utf8"),
  };
}
