/** The host: checked, set up, supervised, and left as it was found. Rendering and arguments are the CLI's. */
export { type DemoNetworkOptions, startDemoNetwork } from "./demo-network.ts";
export { down, type DownOptions, type DownOutcome } from "./down.ts";
export { HostError, type HostErrorCode } from "./error.ts";
export type { HostCheck } from "./host-check.ts";
export { checkHost, type HostCheckOptions } from "./host-checks.ts";
export { observeInstallations, parseInstallation, readSettings, requireSettings } from "./installations.ts";
export type { Progress, ProgressEvent } from "./progress.ts";
export { purge, type PurgeError, type PurgeOptions, type PurgeOutcome } from "./purge.ts";
export type { RuntimeKind } from "./runtime-choice.ts";
export { SOURCE_DIR } from "./programs.ts";
export { PROCESS_NAMES, type ProcessName } from "./service.ts";
export { setup, type SetupOptions } from "./setup.ts";
export { backup, type BackupOptions, type BackupOutcome } from "./backup.ts";
export { restore, type RestoreOptions } from "./restore.ts";
export { type InstallationProcess, processes, restartProcess, up, type UpOptions } from "./up.ts";
