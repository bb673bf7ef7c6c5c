/**
 * Installation: a sensor of the bench's own, worked through the commands that people use.
 *
 * Invariants: its name is `bench`; what stands there under this name before is removed, and at the end all of it
 * again, unless it is to be kept; nothing of other installations is touched, but with `cold` the host's cache of
 * built images goes, and their next set-up builds anew.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { HOST_LAYOUT, type InstallationLayout, installationLayout } from "@bulkhead/schema";
import { runCommand } from "@bulkhead/testkit";
import { ApiClient } from "../../../packages/cli/src/api-client.ts";
import { PROBE_RULES } from "./probe-frames.ts";

export const INSTALLATION = "bench";
/** Not by the launcher: it would install npm dependencies anew if the lock file changed under a running bench. */
const CLI = join(import.meta.dirname, "../../../packages/cli/src/main.ts");
const COMMAND_TIMEOUT_MS = 15 * 60_000;

export interface Installation extends AsyncDisposable {
  readonly layout: InstallationLayout;
  readonly api: ApiClient;
  /** Runs a command of the CLI with --json and returns what it said; @throws TestkitError if it fails. */
  run(...words: readonly string[]): Promise<unknown>;
  /** Applies a site; the bench's rules lie beside it. */
  apply(site: string): Promise<void>;
}

export interface InstallationOptions {
  readonly cold: boolean;
  readonly keep: boolean;
}

/** Nothing is set up yet when this returns. */
export async function openInstallation({ cold, keep }: InstallationOptions): Promise<Installation> {
  await using undo = new AsyncDisposableStack();
  const layout = installationLayout(INSTALLATION);
  const directory = await mkdtemp(join(tmpdir(), "bhbench-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  await run("down", "--purge");
  if (cold) await rm(HOST_LAYOUT.cacheDir, { recursive: true, force: true });
  if (!keep) undo.defer(async () => void (await run("down", "--purge")));
  const owned = undo.move();
  return {
    layout,
    api: new ApiClient(layout),
    run,
    async apply(site) {
      const file = join(directory, "site.yaml");
      await writeFile(file, site);
      await writeFile(join(directory, "bench.rules"), PROBE_RULES);
      await run("apply", file);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function run(...words: readonly string[]): Promise<unknown> {
  const [verb = "", ...rest] = words;
  const argv = [verb, ...rest, "--installation", INSTALLATION, "--json"];
  const { stdout } = await runCommand(process.execPath, [CLI, ...argv], { timeoutMs: COMMAND_TIMEOUT_MS });
  return JSON.parse(stdout);
}
