/**
 * `down --purge`: removes everything that an installation made on the host, and with the last one everything that
 * set-up changed on it; nothing else.
 *
 * Invariants: idempotent; works on a half-made installation; a step that fails does not stop the rest, and is
 * reported. warden is asked first, since it knows best; whatever it leaves is then found from outside.
 */
import type { InstallationLayout, Settings } from "@bulkhead/schema";
import { egressAccountName, observeAccount, removeAccount } from "./account.ts";
import { errorMessage, HostError, type HostErrorCode } from "./error.ts";
import { withHostLock } from "./host-lock.ts";
import { observeInstallations, parseInstallation, readSettings } from "./installations.ts";
import { removeInstalledPackages } from "./packages.ts";
import { purgeInstallationFiles, purgeSharedFiles } from "./purge-files.ts";
import { purgeDevices, purgeMounts, purgeNamespaces, purgeTables } from "./purge-kernel.ts";
import { purgeRuntime } from "./purge-runtime.ts";
import type { Progress } from "./progress.ts";
import { reportStep } from "./progress.ts";
import { endRuntimeDaemon, ensureRuntimeDaemon, observeRuntimes } from "./runtime-daemon.ts";
import { endScan } from "./s6-supervisor.ts";
import { allUnitNames } from "./service.ts";
import { requireRoot } from "./setup.ts";
import { endProcesses, observeStrays } from "./stray-processes.ts";
import { removeSubordinateIds } from "./subordinate-ids.ts";
import { detectSupervisor, openSupervisor } from "./supervision.ts";
import { restoreSysctls } from "./sysctls.ts";
import { callWarden } from "./warden-call.ts";

export interface PurgeOptions {
  readonly installation: string;
  /** Takes away the Debian packages that set-up had installed too, with the last installation. */
  readonly packages?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface PurgeError {
  readonly step: string;
  readonly code: HostErrorCode;
  readonly message: string;
  readonly advice: string;
}

export interface PurgeOutcome {
  /** In words, in the order of removal. */
  readonly removed: readonly string[];
  /** What may still be there; empty if all went well. */
  readonly errors: readonly PurgeError[];
  /** Whether this was the host's last installation. */
  readonly last: boolean;
}

const purgeFailed = "host-purge-failed" satisfies HostErrorCode;

type Step = readonly [name: string, work: () => Promise<readonly string[]>];

/** @throws HostError `host-not-root`, `host-name-reserved`, `host-lock-timeout`; all else is in the outcome */
export async function purge(options: PurgeOptions, progress: Progress): Promise<PurgeOutcome> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  return await withHostLock(options.signal, () => purgeLocked(layout, options.packages ?? false, progress));
}

async function purgeLocked(
  layout: InstallationLayout,
  packages: boolean,
  progress: Progress,
): Promise<PurgeOutcome> {
  const removed: string[] = [];
  const errors: PurgeError[] = [];
  const run = async (steps: readonly Step[]): Promise<void> => {
    for (const [step, work] of steps) {
      try {
        const found = await reportStep(progress, step, `removing: ${step}`, async () => {
          const value = await work();
          return { value, detail: value.length === 0 ? "nothing there" : value.join(", ") };
        });
        removed.push(...found);
      } catch (error) {
        errors.push(describe(step, error));
      }
    }
  };
  await run(installationSteps(layout));
  const last = !(await observeInstallations()).some((other) => other.name !== layout.name);
  // What could not be removed may still need the host-wide things.
  if (last && errors.every((error) => error.step === "warden")) await run(hostSteps(packages));
  return { removed, errors, last };
}

function installationSteps(layout: InstallationLayout): readonly Step[] {
  return [
    ["warden", () => askWarden(layout)],
    ["services", () => removeServices(layout)],
    ["processes", () => endStrays(layout)],
    ["containers", () => removeContainers(layout)],
    ["namespaces", () => purgeNamespaces(layout)],
    ["interfaces", () => purgeDevices(layout)],
    ["nft-tables", () => purgeTables(layout)],
    ["mounts", () => purgeMounts(layout)],
    ["account", () => removeAccounts(layout)],
    ["files", () => purgeInstallationFiles(layout)],
  ];
}

function hostSteps(packages: boolean): readonly Step[] {
  return [
    ["daemon", endRuntimeDaemon],
    ["supervisor", endScan],
    ["subordinate-ids", async () => (await removeSubordinateIds()).map((file) => `line of ${file}`)],
    ["sysctls", restoreSysctls],
    ...(packages
      ? [
          [
            "packages",
            async () => (await removeInstalledPackages()).map((name) => `package ${name}`),
          ] as const,
        ]
      : []),
    ["shared-files", purgeSharedFiles],
  ];
}

async function askWarden(layout: InstallationLayout): Promise<readonly string[]> {
  const { outcome } = await callWarden(layout.rootSocket, "purge");
  return outcome === "done" ? ["what warden had made"] : [];
}

async function removeServices(layout: InstallationLayout): Promise<readonly string[]> {
  const kind = (await settingsIfSound(layout))?.supervisor ?? (await detectSupervisor());
  const units = await openSupervisor(kind).remove(allUnitNames(layout));
  return units.map((unit) => `service ${unit}`);
}

async function endStrays(layout: InstallationLayout): Promise<readonly string[]> {
  const found = await observeAccount(layout);
  const strays = await observeStrays(layout.optDir, found.kind === "ours" ? found.account.uid : null);
  await endProcesses(strays.map(({ pid }) => pid));
  return strays.map(({ pid, program }) => `process ${pid} (${program})`);
}

async function removeAccounts(layout: InstallationLayout): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of [layout.slug, egressAccountName(layout)]) {
    if (await removeAccount(layout, name)) removed.push(`user ${name}`);
  }
  return removed;
}

/** Without settings it is not known which runtime was used, so all that answer are looked at. */
async function removeContainers(layout: InstallationLayout): Promise<readonly string[]> {
  const settings = await settingsIfSound(layout);
  const sockets = new Set(Object.values((await observeRuntimes()).answering));
  if (settings !== undefined && (await canAnswer(settings))) sockets.add(settings.runtime.socket);
  const removed: string[] = [];
  for (const socket of sockets) removed.push(...(await purgeRuntime(layout, socket)));
  return removed;
}

/** Starts the daemon if need be. One that was uninstalled since has nothing of ours any more. */
async function canAnswer({ runtime, supervisor }: Settings): Promise<boolean> {
  try {
    await ensureRuntimeDaemon(runtime, supervisor);
    return true;
  } catch (error) {
    if (error instanceof HostError && error.code === "host-runtime-unavailable") return false;
    throw error;
  }
}

/** A damaged settings file must not keep an installation from being removed. */
async function settingsIfSound(layout: InstallationLayout): Promise<Settings | undefined> {
  try {
    return await readSettings(layout);
  } catch (error) {
    if (error instanceof HostError && error.code === "host-settings-unreadable") return undefined;
    throw error;
  }
}

function describe(step: string, error: unknown): PurgeError {
  const known = error instanceof HostError;
  return {
    step,
    code: known ? error.code : purgeFailed,
    message: errorMessage(error),
    advice: known ? error.advice : "see the message, and run `down --purge` again",
  };
}
