/**
 * Set-up: from a bare host to an installation whose processes can be started.
 *
 * Invariants: every step is idempotent and says what it did; a second run changes nothing and takes seconds; the
 * settings are written last of the decisions, so an installation that has them is whole. It starts the container
 * runtime's daemon where none answers, and no process of the platform: that is `up`.
 */
import { type InstallationLayout, type Settings, type VaultInit } from "@bulkhead/schema";
import { type Account, egressAccountName, ensureAccount } from "./account.ts";
import { HostError } from "./error.ts";
import type { HostCheck } from "./host-check.ts";
import { checkHost } from "./host-checks.ts";
import { withHostLock } from "./host-lock.ts";
import { ensureDirectories, ensureSettings, planDirectories } from "./installation-files.ts";
import { parseInstallation, readSettings } from "./installations.ts";
import { neededPackages } from "./package-choice.ts";
import { ensurePackages } from "./packages.ts";
import {
  type BuildOptions,
  ensureBrokerProgram,
  ensureBundles,
  ensureCatalogue,
  ensureNode,
  SOURCE_DIR,
} from "./programs.ts";
import { type Progress, reportStep } from "./progress.ts";
import {
  chooseRuntime,
  RUNTIME_KINDS,
  RUNTIME_PACKAGES,
  type RuntimeChoice,
  type RuntimeKind,
} from "./runtime-choice.ts";
import { ensureRuntimeDaemon, observeRuntimes } from "./runtime-daemon.ts";
import { ensureSubordinateIds } from "./subordinate-ids.ts";
import { detectSupervisor } from "./supervision.ts";
import { ensureSysctls } from "./sysctls.ts";
import { askVault } from "./vault-tool.ts";

export interface SetupOptions {
  readonly installation: string;
  /** The runtime that was asked for. */
  readonly runtime?: RuntimeKind | undefined;
  /** Instruments whose images are to be built; all where left out. */
  readonly packages?: readonly string[] | undefined;
  /** Debian packages that are needed besides the platform's own, as for the demo's network. */
  readonly extraPackages?: readonly string[] | undefined;
  /** The checkout to take programs and instruments from. */
  readonly sourceDir?: string | undefined;
  /** Each result as soon as all are in. */
  readonly onChecks?: ((checks: readonly HostCheck[]) => void) | undefined;
  /** What opens the vault that is made; `file` where left out. One that is there is left alone. */
  readonly vault?: VaultInit | undefined;
  /** Size of the platform's own volume, before it is made. */
  readonly platformBytes?: number | undefined;
  /** Called once, with what is kept nowhere, when a vault was made. */
  readonly onRecoveryPhrase?: ((phrase: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * @throws HostError `host-not-root`, `host-name-reserved`, `host-checks-failed`, `host-packages-failed`,
 *   `host-runtime-other`, `host-runtime-unavailable`, `host-runtime-silent`, `host-account-foreign`, `host-directory-foreign`,
 *   `host-port-none`, `host-vault-refused`; ImageFault of the images package
 */
export async function setup(options: SetupOptions, progress: Progress): Promise<Settings> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  await checkBefore(layout, options, progress);
  const supervisor = await detectSupervisor();
  return await withHostLock(options.signal, async () => {
    const runtime = await ensureHost(layout, supervisor, options, progress);
    const account = await ensureFiles(layout, progress);
    await ensurePrograms(layout, options, progress);
    const settings = await reportStep(progress, "settings", "writing installation.json", async () => {
      const { kind, socket } = runtime;
      const { platformBytes } = options;
      const size = platformBytes === undefined ? {} : { platformBytes };
      const decided = { runtime: { kind, socket }, supervisor, ...account, ...size };
      const { settings, changed } = await ensureSettings(layout, decided);
      const words = `${kind}, ${supervisor}, broker on 127.0.0.1:${settings.brokerPort}`;
      return { value: settings, detail: changed ? words : `unchanged: ${words}` };
    });
    await ensureVault(layout, options, progress);
    return settings;
  });
}

async function ensureVault(
  layout: InstallationLayout,
  { vault = { method: "file" }, onRecoveryPhrase }: SetupOptions,
  progress: Progress,
): Promise<void> {
  await reportStep(progress, "vault", "making the vault", async () => {
    const { made, method, recoveryPhrase } = await askVault(layout, "init", vault);
    if (recoveryPhrase !== null) onRecoveryPhrase?.(recoveryPhrase);
    return { value: undefined, detail: `${made ? "made" : "there"}, opened by ${method ?? "nothing"}` };
  });
}

/** @throws HostError `host-not-root` */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new HostError("host-not-root", "this changes the host and needs root", {
    advice: "run it with sudo",
  });
}

async function checkBefore(
  layout: InstallationLayout,
  options: SetupOptions,
  progress: Progress,
): Promise<void> {
  await reportStep(progress, "checks", "checking the host", async () => {
    const isNew = (await readSettings(layout)) === undefined;
    const signal = options.signal === undefined ? {} : { signal: options.signal };
    const checks = await checkHost(layout, { phase: isNew ? "before-setup" : "repair", ...signal });
    options.onChecks?.(checks);
    const failed = checks.filter((check) => check.state === "failed");
    const [first] = failed;
    if (first !== undefined) {
      const list = failed.map((check) => `${check.id}: ${check.detail}`).join("; ");
      throw new HostError("host-checks-failed", list, { advice: first.advice });
    }
    const absent = checks.filter((check) => check.state === "absent").length;
    return { value: undefined, detail: `${checks.length} checks, ${absent} things absent` };
  });
}

/** What all installations share: packages, the runtime's daemon, subordinate ids, kernel settings. */
async function ensureHost(
  layout: InstallationLayout,
  supervisor: "systemd" | "s6",
  options: SetupOptions,
  progress: Progress,
): Promise<RuntimeChoice> {
  const former = (await readSettings(layout))?.runtime.kind;
  requireSameRuntime(options.runtime, former);
  const runtime = await reportStep(progress, "runtime", "looking for LXD or Incus", async () => {
    const wanted = options.runtime ?? former;
    const choice = chooseRuntime(await observeRuntimes(wanted), options.runtime, former);
    if (choice === undefined) throw runtimeUnavailable(wanted);
    return { value: choice, detail: `${choice.kind}: ${choice.action}` };
  });
  await reportStep(progress, "packages", "installing what is missing with apt", async () => {
    const installRuntime = runtime.action === "install" ? runtime.kind : null;
    const own = neededPackages({ supervisor, installRuntime });
    const needed = [...new Set([...own, ...(options.extraPackages ?? [])])];
    const missing = await ensurePackages(needed, options.signal);
    const detail = missing.length === 0 ? "all there" : `installed ${missing.join(" ")}`;
    return { value: undefined, detail };
  });
  await reportStep(progress, "host", "preparing ids and kernel settings", async () => {
    const changed = [...(await ensureSubordinateIds()), ...(await ensureSysctls())];
    return { value: undefined, detail: changed.length === 0 ? "as needed" : changed.join(", ") };
  });
  await reportStep(progress, "daemon", `asking ${runtime.kind}`, async () => {
    const started = await ensureRuntimeDaemon(runtime, supervisor);
    return { value: undefined, detail: started ? "started" : "answers" };
  });
  return runtime;
}

/**
 * A running installation cannot change its runtime: what it has in the former one would be held by nobody.
 * @throws HostError `host-runtime-other`
 */
function requireSameRuntime(wanted: RuntimeKind | undefined, former: RuntimeKind | undefined): void {
  if (wanted === undefined || former === undefined || wanted === former) return;
  throw new HostError("host-runtime-other", `this installation uses ${former}, not ${wanted}`, {
    advice: `leave out --runtime, choose another --installation, or begin anew after \`down --purge\``,
  });
}

function runtimeUnavailable(wanted: RuntimeKind | undefined): HostError {
  const kinds = wanted === undefined ? RUNTIME_KINDS : [wanted];
  const packages = kinds.map((kind) => RUNTIME_PACKAGES[kind].join(" ")).join(", or ");
  return new HostError("host-runtime-unavailable", `apt offers no ${kinds.join(" and no ")}`, {
    advice:
      `run apt-get update, or enable a source that has ${packages}` +
      (kinds.includes("incus") ? " (for Incus on Debian 12: the suite bookworm-backports)" : ""),
  });
}

async function ensureFiles(layout: InstallationLayout, progress: Progress): Promise<Account> {
  return await reportStep(progress, "account", "making account and directories", async () => {
    const { account, made } = await ensureAccount(layout);
    await ensureAccount(layout, egressAccountName(layout));
    const changed = await ensureDirectories(planDirectories(layout, account));
    const detail = `${layout.slug} (${made ? "made" : "there"}), ${changed} directories made or corrected`;
    return { value: account, detail };
  });
}

async function ensurePrograms(
  layout: InstallationLayout,
  options: SetupOptions,
  progress: Progress,
): Promise<void> {
  const build = (step: string): BuildOptions => ({
    sourceDir: options.sourceDir ?? SOURCE_DIR,
    signal: options.signal,
    onProgress: (detail) => progress({ step, state: "start", detail, ms: 0 }),
  });
  await reportStep(progress, "programs", "bundling the platform's processes", async () => {
    const changed = await ensureBundles(layout, build("programs"));
    if (await ensureNode(layout, build("programs"))) changed.push("node");
    const broker = await ensureBrokerProgram(layout, build("programs"));
    const words = changed.length === 0 ? "unchanged" : changed.join(", ");
    return { value: undefined, detail: `${words}; nats-server ${broker}` };
  });
  await reportStep(progress, "images", "building the instruments' images", async () => {
    const built = await ensureCatalogue(layout, build("images"), options.packages);
    const fresh = built.filter((each) => each.state === "built").map((each) => each.package);
    const words = fresh.length === 0 ? "unchanged" : `built ${fresh.join(", ")}`;
    return { value: undefined, detail: `${built.length} packages, ${words}` };
  });
}
