/**
 * The directories of an installation, with owner and mode each, and its settings file.
 *
 * Invariants: idempotent; nothing that the installation's user can write lies on a path that root executes from or
 * reads decisions from. The run-time directory is writable by the user for its own sockets, with the sticky bit, so
 * that it cannot replace root's.
 */
import { createServer } from "node:net";
import { dirname } from "node:path";
import { HOST_LAYOUT, type InstallationLayout, Settings } from "@bulkhead/schema";
import type { Account } from "./account.ts";
import { ensureDirectory, type Ownership, ROOT_READABLE, writeAtomically } from "./atomic-file.ts";
import { HostError } from "./error.ts";
import { observeInstallations, readSettings } from "./installations.ts";
import { HOST_LOG_DIR } from "./runtime-daemon.ts";
import { PROCESS_NAMES } from "./service.ts";

export interface DirectoryPlan {
  readonly path: string;
  readonly owner: Ownership;
}

/** All directories, parents first. Pure. */
export function planDirectories(layout: InstallationLayout, { uid, gid }: Account): readonly DirectoryPlan[] {
  const root = (path: string, mode: number): DirectoryPlan => ({
    path,
    owner: { uid: 0, gid: 0, mode },
  });
  const shared = (path: string, mode: number): DirectoryPlan => ({
    path,
    owner: { uid: 0, gid, mode },
  });
  const users = (path: string): DirectoryPlan => ({ path, owner: { uid, gid, mode: 0o700 } });
  return [
    ...["/etc/bulkhead", "/opt/bulkhead", "/var/lib/bulkhead"].map((path) => root(path, 0o755)),
    ...["/var/cache/bulkhead", "/var/log/bulkhead"].map((path) => root(path, 0o755)),
    root(HOST_LAYOUT.hostDir, 0o700),
    root(HOST_LAYOUT.idmapDir, 0o700),
    root(HOST_LOG_DIR, 0o750),
    root(layout.etcDir, 0o755),
    root(layout.siteVersionsDir, 0o755),
    root(layout.optDir, 0o755),
    root(`${layout.optDir}/bin`, 0o755),
    root(layout.nodeDir, 0o755),
    root(layout.catalogueDir, 0o755),
    root(layout.libDir, 0o711),
    root(layout.volumesDir, 0o700),
    root(layout.mountsDir, 0o711),
    root(layout.inboxDir, 0o711),
    root(layout.poolDir, 0o711),
    root(layout.wardenDir, 0o700),
    root(layout.vaultDir, 0o700),
    // Where warden mounts the platform's own volume; nothing can be written there until it has.
    root(dirname(dirname(layout.platformDir)), 0o711),
    root(dirname(layout.platformDir), 0o711),
    shared(layout.logDir, 0o750),
    ...PROCESS_NAMES.map((name) =>
      name === "warden" ? root(`${layout.logDir}/${name}`, 0o700) : users(`${layout.logDir}/${name}`),
    ),
    ...planRunDirectories(layout, { uid, gid }),
  ];
}

/** What is gone after a reboot. */
export function planRunDirectories(
  layout: InstallationLayout,
  { uid, gid }: Account,
): readonly DirectoryPlan[] {
  return [
    { path: "/run/bulkhead", owner: { uid: 0, gid: 0, mode: 0o755 } },
    { path: layout.runDir, owner: { uid: 0, gid, mode: 0o1770 } },
    { path: layout.socketsDir, owner: { uid: 0, gid: 0, mode: 0o711 } },
    { path: layout.egressDir, owner: { uid: 0, gid: 0, mode: 0o755 } },
    { path: `${layout.egressDir}/sockets`, owner: { uid: 0, gid: 0, mode: 0o755 } },
    { path: layout.recordDir, owner: { uid, gid, mode: 0o755 } },
  ];
}

/** @returns how many had to be made or corrected */
export async function ensureDirectories(plan: readonly DirectoryPlan[]): Promise<number> {
  let changed = 0;
  for (const { path, owner } of plan) if (await ensureDirectory(path, owner)) changed += 1;
  return changed;
}

/** Writes installation.json; the broker's port is kept once it was chosen. @throws HostError `host-port-none` */
export async function ensureSettings(
  layout: InstallationLayout,
  decided: Pick<Settings, "runtime" | "supervisor" | "uid" | "gid" | "platformBytes">,
): Promise<{ readonly settings: Settings; readonly changed: boolean }> {
  const former = await readSettings(layout);
  const settings = Settings.parse({
    installation: layout.name,
    brokerPort: former?.brokerPort ?? (await chooseBrokerPort()),
    ...(former?.platformBytes === undefined ? {} : { platformBytes: former.platformBytes }),
    ...decided,
  } satisfies Settings);
  const text = `${JSON.stringify(settings, undefined, 2)}\n`;
  const changed = await writeAtomically(layout.settingsFile, text, ROOT_READABLE);
  return { settings, changed };
}

/** Below the range from which the kernel takes ports for outgoing connections. */
const firstPort = 14_222;
const lastPort = 14_999;

/** A free loopback port that no other installation was given, up or down. */
async function chooseBrokerPort(): Promise<number> {
  const taken = new Set<number>();
  for (const other of await observeInstallations()) {
    const settings = await readSettings(other);
    if (settings !== undefined) taken.add(settings.brokerPort);
  }
  for (let port = firstPort; port <= lastPort; port += 1) {
    if (!taken.has(port) && (await isFree(port))) return port;
  }
  throw new HostError("host-port-none", `no free loopback port in ${firstPort}-${lastPort}`, {
    advice: "see `ss -ltn` for who uses them",
  });
}

async function isFree(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const server = createServer();
  server.once("error", () => resolve(false));
  server.listen({ host: "127.0.0.1", port }, () => server.close(() => resolve(true)));
  return promise;
}
