/**
 * Locked sensord: what sensord is while the vault is not open. Its own state lies there, and the broker's, so it
 * keeps nothing and has no bus; it answers how the sensor is and what would help, and refuses all else by name.
 */
import { access, constants } from "node:fs/promises";
import { explainInstrument } from "@bulkhead/core";
import type { InstallationLayout, SensorStatus } from "@bulkhead/schema";
import { localRoot } from "./api/authorize.ts";
import { API_CONTRACT, type ApiHandlers } from "./api/contract.ts";
import { listenOnSocket } from "./api/listen.ts";
import { ProblemError } from "./api/problem.ts";
import { makeApiServer } from "./api/server.ts";
import type { Log } from "./log.ts";
import { pause } from "./pause.ts";
import { FIRST_LOOK_MS, planShownSite } from "./plan-site.ts";
import { type HeardInstrument, sensorStatus } from "./sensor-status.ts";
import { SiteKeeper } from "./site-keeper.ts";
import { makeWardenClient } from "./warden-client.ts";
import { startWardenWatch } from "./warden-watch.ts";

const LOOK_EVERY_MS = 200;
/** Nothing is said about the wait where the vault opens by itself, moments after the start. */
const SILENT_MS = 2_000;
const NOTHING_HEARD: HeardInstrument = {
  config: { version: null, outcome: "none", faults: [] },
  report: null,
  silentMs: 0,
  refused: 0,
  quarantined: 0,
  lastLines: [],
};

export interface LockedOptions {
  readonly layout: InstallationLayout;
  readonly log: Log;
}

/** Returns once the vault is open, at once where it is already; or when `ended` is aborted. */
export async function untilVaultOpen(options: LockedOptions, ended: AbortSignal): Promise<void> {
  const { layout, log } = options;
  if (await isOpen(layout)) return;
  await using _ = await startLocked(options);
  const sinceMs = performance.now();
  let said = false;
  while (!ended.aborted && !(await isOpen(layout))) {
    if (!said && performance.now() - sinceMs > SILENT_MS) {
      log.info("waiting for the vault to be opened", { installation: layout.name });
      said = true;
    }
    await pause(LOOK_EVERY_MS, ended);
  }
}

/** Both directories are there and this user's: warden makes them when it has opened the vault. */
async function isOpen({ brokerDir, sensordDir }: InstallationLayout): Promise<boolean> {
  const rights = constants.R_OK | constants.W_OK | constants.X_OK;
  try {
    await access(brokerDir, rights);
    await access(sensordDir, rights);
    return true;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    // ENOKEY: the volume is mounted and its key not there yet.
    if (code === "ENOENT" || code === "EACCES" || code === "ENOKEY" || code === "EROFS") return false;
    throw error;
  }
}

async function startLocked({ layout, log }: LockedOptions): Promise<AsyncDisposable> {
  await using stack = new AsyncDisposableStack();
  const warden = makeWardenClient(layout.wardenSocket);
  const watch = stack.use(startWardenWatch(warden, log));
  const keeper = stack.use(new SiteKeeper({ log, state: () => watch.latest, followers: [] }));
  watch.onChange(() => keeper.look());
  keeper.start();
  const status = (): SensorStatus =>
    sensorStatus({
      view: keeper.view,
      warden: watch.latest,
      heard: () => NOTHING_HEARD,
      ledger: [],
      processes: [
        { name: "warden", state: watch.connected ? "up" : "down", detail: watch.trouble },
        { name: "sensord", state: "up", detail: "" },
        { name: "broker", state: "down", detail: "its store is in the vault" },
      ],
      problems: [...keeper.problems],
    });
  const refuse = (): never => {
    throw new ProblemError("vault-locked", "the vault is not open; `bulkhead vault unlock` opens it");
  };
  const routes = Object.keys(API_CONTRACT).map((route) => [route, refuse] as const);
  const handlers: ApiHandlers = {
    // The keys are those of the contract, and a handler that only throws fits each of them.
    ...(Object.fromEntries(routes) as unknown as ApiHandlers),
    status: async () => status(),
    taps: async () => status().taps,
    plan: async ({ body }) =>
      planShownSite(body, { ...layout, warden, state: await watch.first(FIRST_LOOK_MS) }),
    explain: async ({ params: { instrument } }) => {
      const found = keeper.view === null ? null : explainInstrument(instrument, keeper.view.checked);
      if (found === null)
        throw new ProblemError("unknown-instrument", `the site has no instrument ${instrument}`);
      return found;
    },
  };
  const server = await makeApiServer({ log, resolveCaller: localRoot, onDenied: () => undefined, handlers });
  stack.defer(() => server.close());
  await listenOnSocket(server, layout.apiSocket);
  return stack.move();
}
