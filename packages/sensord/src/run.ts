/**
 * One run of the sensord process: arguments, settings, identity, start, and an orderly end.
 *
 * It refuses to run as anybody but the installation's own user: as root, whoever takes sensord
 * over would hold the host.
 */
import { parseArgs } from "node:util";
import { DEFAULT_INSTALLATION, InstallationName, installationLayout } from "@bulkhead/schema";
import { SensordError } from "./error.ts";
import { describeError, type Log } from "./log.ts";
import { untilVaultOpen } from "./locked-sensord.ts";
import { startSensord } from "./sensord.ts";
import { readSettings } from "./settings-file.ts";

/** What a run needs of the process that it is in. */
export interface ProcessPort {
  readonly args: readonly string[];
  readonly uid: number;
  readonly log: Log;
  /** Aborted when the process is asked to end. */
  readonly ended: AbortSignal;
}

/** Returns the exit code: 0 after an orderly end, 2 for a bad call, 1 for a failed start. */
export async function run({ args, uid, log, ended }: ProcessPort): Promise<number> {
  const name = parseInstallation(args);
  if (name === null) {
    log.error("usage: sensord [--installation NAME]");
    return 2;
  }
  try {
    const layout = installationLayout(name);
    const settings = await readSettings(layout);
    if (uid !== settings.uid) {
      throw new SensordError(
        "wrong-user",
        `sensord runs as uid ${settings.uid} (user ${layout.slug}) alone, not as uid ${uid}`,
      );
    }
    await untilVaultOpen({ layout, log }, ended);
    if (ended.aborted) return 0;
    await using stack = new AsyncDisposableStack();
    stack.use(await startSensord({ layout, settings, log }));
    await untilAborted(ended);
    log.info("sensord ends");
  } catch (error) {
    log.error("sensord does not run", describeError(error));
    return 1;
  }
  return 0;
}

function parseInstallation(args: readonly string[]): InstallationName | null {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: { installation: { type: "string", default: DEFAULT_INSTALLATION } },
      strict: true,
    });
    const name = InstallationName.safeParse(values.installation);
    return name.success ? name.data : null;
  } catch {
    // An option that is not ours: the usage says what is.
    return null;
  }
}

function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    // The timer keeps the process alive whatever else there is to wait for.
    const alive = setInterval(() => {}, 2 ** 30);
    signal.addEventListener(
      "abort",
      () => {
        clearInterval(alive);
        resolve();
      },
      { once: true },
    );
  });
}
