/**
 * The command line as a user has it: runs `./bulkhead` for an installation of the test's own, and
 * removes that installation at the end, also after a failure.
 *
 * It asserts exit codes, and nothing of what is printed; it never looks into the program.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import {
  type EventRecord,
  type InstallationLayout,
  installationLayout,
  SensorStatus,
  Settings,
} from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { ASKED_RUNTIME } from "../runtime.ts";

const ROOT = join(import.meta.dirname, "..", "..");
export const LAUNCHER: string = join(ROOT, "bulkhead");
/** Set-up on a busy machine that has built no image yet. */
const RUN_TIMEOUT_MS = 5 * 60_000;

export interface CliRun {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** 0 where left out. */
  readonly exitCode?: number;
}

/** Of the commands that choose one. */
function runtimeOption([command = ""]: readonly string[]): readonly string[] {
  return ASKED_RUNTIME !== undefined && ["setup", "demo"].includes(command)
    ? ["--runtime", ASKED_RUNTIME]
    : [];
}

/** One installation, through its command line. */
export class Cli implements AsyncDisposable {
  readonly name: string;
  readonly layout: InstallationLayout;

  constructor(name: string) {
    this.name = name;
    this.layout = installationLayout(name);
  }

  /** Runs a command; fails unless it exits as expected. */
  async run(args: readonly string[], { exitCode = 0 }: RunOptions = {}): Promise<CliRun> {
    const done = await runProgram(LAUNCHER, [...args, ...runtimeOption(args), "--installation", this.name]);
    assert.equal(done.exitCode, exitCode, `bulkhead ${args.join(" ")}: ${done.stdout}${done.stderr}`);
    return done;
  }

  /** With --json: stdout must be one line; its document. */
  async json(args: readonly string[], options: RunOptions = {}): Promise<unknown> {
    const { stdout } = await this.run([...args, "--json"], options);
    assert.match(stdout, /^[^\n]+\n$/, `bulkhead ${args.join(" ")} --json prints one line`);
    return JSON.parse(stdout);
  }

  /** With --json, of a command that prints one document for each record. */
  async lines(args: readonly string[]): Promise<readonly unknown[]> {
    const { stdout } = await this.run([...args, "--json"]);
    return stdout.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as unknown]));
  }

  async status(): Promise<SensorStatus> {
    return SensorStatus.parse(await this.json(["status"]));
  }

  /** Events of the last `since`, the newest 10,000. */
  async events(since: string, ...args: readonly string[]): Promise<readonly EventRecord[]> {
    const found = await this.lines(["events", "--since", since, "--limit", "10000", ...args]);
    return found as readonly EventRecord[]; // the CLI has checked each against the schema
  }

  async settings(): Promise<Settings> {
    return Settings.parse(JSON.parse(await readFile(this.layout.settingsFile, "utf8")));
  }

  /** What the last purge says; everything of the installation is gone after it. */
  async purge(): Promise<void> {
    await this.run(["down", "--purge"]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (await isThere(this.layout.etcDir)) await this.purge();
  }
}

/** An installation that is not there yet: what an interrupted run left is removed first. */
export async function openCli(name: string): Promise<Cli> {
  const cli = new Cli(name);
  await cli[Symbol.asyncDispose]();
  return cli;
}

/** Any program, as any user; a failure to run it at all rejects. */
export async function runProgram(
  file: string,
  args: readonly string[],
  options: { readonly uid?: number; readonly timeoutMs?: number } = {},
): Promise<CliRun> {
  const { uid, timeoutMs = RUN_TIMEOUT_MS } = options;
  const { promise, resolve, reject } = Promise.withResolvers<CliRun>();
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const identity = uid === undefined ? {} : { uid, gid: uid };
  execFile(
    file,
    [...args],
    { ...identity, env: { ...env, NO_COLOR: "1" }, timeout: timeoutMs, maxBuffer: 256 * 1024 * 1024 },
    (error, stdout, stderr) => {
      if (error === null) resolve({ exitCode: 0, stdout, stderr });
      else if (typeof error.code === "number") resolve({ exitCode: error.code, stdout, stderr });
      else reject(error);
    },
  );
  return promise;
}

/** Resolves when the sensor is as the site says. */
export async function eventuallyWell(cli: Cli): Promise<SensorStatus> {
  let last: SensorStatus | null = null;
  try {
    return await eventually("the sensor is as the site says", async () => {
      last = await cli.status();
      return last.ok && last;
    });
  } catch (cause) {
    throw new Error(`not well: ${JSON.stringify(last)}`, { cause });
  }
}

export async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
