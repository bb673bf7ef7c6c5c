/**
 * The tutorial of docs/writing-an-instrument.md: its commands run and its files are taken over, in order, in a directory
 * that looks like a checkout; then what came of it emits its event over a real broker. What needs a sensor is not run.
 */
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { chmod, cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { test } from "node:test";
import { Manifest, Site } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { parse } from "yaml";
import { openTestBus } from "./test-bus.ts";

const ROOT = join(import.meta.dirname, "../../..");
const NAME = "clock-watch";

interface Block {
  readonly language: string;
  /** Of the file that the block is; commands have none. */
  readonly path: string | null;
  readonly text: string;
}

/** The fenced blocks that are commands, or a whole file. */
async function readTutorial(): Promise<readonly Block[]> {
  const page = await readFile(join(ROOT, "docs/writing-an-instrument.md"), "utf8");
  const blocks = [...page.matchAll(/^```(\w*)(?: (\S+))?\n([^]*?)^```$/gm)];
  return blocks
    .map(([, language = "", path, text = ""]) => ({ language, path: path ?? null, text }))
    .filter(({ language, path }) => language === "sh" || path !== null);
}

/** A directory that commands find as they would find a checkout. */
async function makeCheckout(dir: string): Promise<void> {
  await symlink(join(ROOT, "node_modules"), join(dir, "node_modules"));
  for (const file of ["package.json", "tsconfig.json", ".oxfmtrc.json"])
    await cp(join(ROOT, file), join(dir, file));
  await mkdir(join(dir, "instruments"));
  // The CLI runs from the real checkout, and would write there.
  const cli = join(ROOT, "packages/cli/src/main.ts");
  const launcher = `#!/bin/sh\nexec node --disable-warning=ExperimentalWarning '${cli}' "$@" --dir instruments\n`;
  await writeFile(join(dir, "bulkhead"), launcher);
  await chmod(join(dir, "bulkhead"), 0o755);
}

function environment(): NodeJS.ProcessEnv {
  // A test runner inside a test runner would report to the outer one.
  const { NODE_TEST_CONTEXT: _, PATH = "", ...env } = process.env;
  return { ...env, PATH: [dirname(process.execPath), PATH].join(delimiter) };
}

function shell(text: string, cwd: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  execFile("sh", ["-euc", text], { cwd, env: environment() }, (error, stdout, stderr) => {
    if (error === null) resolve(stdout);
    else reject(new Error(`${text}\n${stdout}\n${stderr}`, { cause: error }));
  });
  return promise;
}

test("who follows the tutorial has an instrument that emits its event", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-tutorial-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await makeCheckout(dir);
  const blocks = await readTutorial();
  assert.deepEqual(
    blocks.map(({ language }) => language),
    ["sh", "sh", "ts", "ts", "sh", "yaml"],
  );
  for (const { path, text } of blocks) {
    if (path === null) await shell(text, dir);
    else await writeFile(join(dir, path), text);
  }

  const site = Site.parse(parse(await readFile(join(dir, "site.yaml"), "utf8")));
  assert.equal(site.instruments["clock"]?.package, NAME);
  const folder = join(dir, "instruments", NAME);
  const { needs } = Manifest.parse(parse(await readFile(join(folder, "instrument.yaml"), "utf8")));
  const emits = needs.flatMap((need) => (need.kind === "event.emit" ? [need.type] : []));
  assert.deepEqual(emits, ["clock-watch.drift"]);

  const bus = stack.use(await openTestBus());
  const admitted = await bus.admit({ instrument: "clock", emits });
  const agent = spawn(process.execPath, [join(folder, "src/main.ts")], {
    env: { ...environment(), BULKHEAD_INSTRUMENT: "clock", BULKHEAD_BUS_SOCKET: admitted.socketPath },
    stdio: "ignore",
  });
  stack.defer(() => void agent.kill("SIGKILL"));
  await eventually("its greeting", () => admitted.greetings.count > 0);
  const config = { ...site.instruments["clock"]?.config };
  const answer = await admitted.configure({ version: "1", config, retentionMs: null, files: null });
  assert.deepEqual(answer, { outcome: "applied", version: "1" });
  await eventually("two events stored", async () => {
    const { state } = await bus.streams.streams.info("EV_clock");
    return state.messages >= 2;
  });
  const stored = await bus.streams.streams.getMessage("EV_clock", { seq: 1 });
  assert.equal(stored?.subject, "ev.clock.clock-watch.drift");
  assert.ok(Math.abs(stored.json<{ readonly driftMs: number }>().driftMs) < 1_000);
});
