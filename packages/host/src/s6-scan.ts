/**
 * The host's one s6-svscan, which keeps the services of all installations and of the runtime's daemon.
 *
 * Invariants: a service directory appears and goes by a rename, so s6 never sees a part of one; the scanner is
 * detached from whoever started it. It is stopped only when no service is left.
 */
import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readTextFile } from "./atomic-file.ts";
import { askCommand, runCommand } from "./command.ts";
import { HostError, systemErrorCode } from "./error.ts";
import type { ServiceDirectory } from "./s6-service.ts";

export interface S6Scan {
  /** Starts the scanner if it does not run. */
  ensure(): Promise<void>;
  /** Puts a service there, replacing one that differs. @returns whether it had to. */
  put(unit: string, directory: ServiceDirectory): Promise<boolean>;
  /** Stops a service and takes its directory away. @returns whether it was there */
  take(unit: string): Promise<boolean>;
  units(): Promise<readonly string[]>;
  /** Ends the scanner and removes its directory, if no service is left. @returns whether it did */
  end(): Promise<boolean>;
  path(unit: string): string;
}

const waitMs = 20_000;

/** `servicesDir` is HOST_LAYOUT.servicesDir; a test gives a directory of its own. */
export function s6Scan(servicesDir: string): S6Scan {
  const path = (unit: string): string => join(servicesDir, unit);

  async function ensure(): Promise<void> {
    await mkdir(servicesDir, { recursive: true, mode: 0o700 });
    if (await alive(servicesDir)) return;
    await endOrphans(servicesDir, await units());
    await spawnDetached(servicesDir);
    await waitUntil(() => alive(servicesDir), "s6-svscan did not begin to listen");
  }

  async function units(): Promise<readonly string[]> {
    try {
      const entries = await readdir(servicesDir, { withFileTypes: true });
      return entries
        .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
        .map((entry) => entry.name)
        .toSorted();
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return [];
      throw error;
    }
  }

  async function put(unit: string, directory: ServiceDirectory): Promise<boolean> {
    const target = path(unit);
    if (await holds(target, directory)) {
      await waitSupervised(servicesDir, target);
      return false;
    }
    await take(unit);
    const fresh = path(`.new-${unit}`);
    await rm(fresh, { recursive: true, force: true });
    for (const [file, content] of Object.entries(directory)) {
      await mkdir(dirname(join(fresh, file)), { recursive: true, mode: 0o700 });
      await writeFile(join(fresh, file), content, { mode: 0o700 });
    }
    await rename(fresh, target);
    await waitSupervised(servicesDir, target);
    return true;
  }

  async function take(unit: string): Promise<boolean> {
    const gone = path(`.gone-${unit}`);
    try {
      await rm(gone, { recursive: true, force: true });
      await rename(path(unit), gone);
    } catch (error) {
      if (systemErrorCode(error) === "ENOENT") return false;
      throw error;
    }
    if (await alive(servicesDir)) await runCommand("s6-svscanctl", ["-an", servicesDir]);
    else await endSupervised(gone);
    await waitUntil(
      async () => !(await supervised(gone)) && !(await supervised(join(gone, "log"))),
      `s6-supervise of ${unit} did not end`,
    );
    await rm(gone, { recursive: true, force: true });
    return true;
  }

  async function end(): Promise<boolean> {
    if (!existsSync(servicesDir) || (await units()).length > 0) return false;
    if (await alive(servicesDir)) {
      await runCommand("s6-svscanctl", ["-t", servicesDir]);
      await waitUntil(async () => !(await alive(servicesDir)), "s6-svscan did not end");
    }
    await rm(servicesDir, { recursive: true, force: true });
    return true;
  }

  return { ensure, put, take, units, end, path };
}

/** Whether an s6-supervise holds the service directory. @see s6-svok(1) */
export async function supervised(directory: string): Promise<boolean> {
  return (await askCommand("s6-svok", [directory])).exitCode === 0;
}

async function alive(servicesDir: string): Promise<boolean> {
  // A command without letters is delivered and does nothing; it fails where nobody listens.
  return (await askCommand("s6-svscanctl", [servicesDir])).exitCode === 0;
}

/** Services whose scanner was killed run on, but would be taken by no new one: they are ended first. */
async function endOrphans(servicesDir: string, units: readonly string[]): Promise<void> {
  for (const unit of units) {
    const directory = join(servicesDir, unit);
    if (!(await supervised(directory)) && !(await supervised(join(directory, "log")))) continue;
    await endSupervised(directory);
    await waitUntil(
      async () => !(await supervised(directory)) && !(await supervised(join(directory, "log"))),
      `s6-supervise of ${unit} did not end`,
    );
  }
}

/** Without a scanner, which would do the same: the process first, then its logger. */
async function endSupervised(directory: string): Promise<void> {
  for (const each of [directory, join(directory, "log")]) {
    if (await supervised(each)) await runCommand("s6-svc", ["-wD", "-T", String(waitMs), "-xd", each]);
  }
}

async function spawnDetached(servicesDir: string): Promise<void> {
  const sink = openSync("/dev/null", "r+");
  try {
    // `detached` is setsid(2): it outlives this process and its terminal.
    const child = spawn("s6-svscan", [servicesDir], {
      cwd: "/",
      detached: true,
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
      stdio: [sink, sink, sink],
    });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    child.once("spawn", () => resolve());
    child.once("error", (cause) =>
      reject(
        new HostError("host-supervisor-missing", `s6-svscan cannot be started: ${cause.message}`, {
          advice: "run `bulkhead setup`, which installs s6 where there is no systemd",
          cause,
        }),
      ),
    );
    await promise;
    child.unref();
  } finally {
    closeSync(sink);
  }
}

async function waitSupervised(servicesDir: string, directory: string): Promise<void> {
  if (await supervised(directory)) return;
  await runCommand("s6-svscanctl", ["-a", servicesDir]);
  await waitUntil(() => supervised(directory), `s6-svscan did not take ${directory}`);
}

async function holds(target: string, directory: ServiceDirectory): Promise<boolean> {
  for (const [file, content] of Object.entries(directory)) {
    if ((await readTextFile(join(target, file))) !== content) return false;
  }
  return true;
}

async function waitUntil(condition: () => Promise<boolean>, failure: string): Promise<void> {
  const deadlineMs = performance.now() + waitMs;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) {
      throw new HostError("host-supervisor-failed", failure, {
        advice: "look at the processes s6-svscan and s6-supervise, then run the command again",
      });
    }
    await delay(50);
  }
}
