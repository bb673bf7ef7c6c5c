/**
 * The container runtime's daemon: found, or started, as the package's systemd unit or as a host-wide s6 service.
 *
 * Invariants: a daemon that answers already is somebody else's and is neither restarted nor stopped, ever; one that
 * set-up started is recorded, and ends with the last installation alone.
 */
import { access, mkdir } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { HOST_LAYOUT } from "@bulkhead/schema";
import { runCommand } from "./command.ts";
import { HostError } from "./error.ts";
import { changeRecords, readRecords } from "./host-records.ts";
import { availablePackages, installedPackages } from "./packages.ts";
import {
  RUNTIME_KINDS,
  RUNTIME_PACKAGES,
  RUNTIME_SOCKETS,
  type RuntimeChoice,
  type RuntimeFacts,
  type RuntimeKind,
} from "./runtime-choice.ts";
import { probeRuntime } from "./runtime-socket.ts";
import { s6Scan } from "./s6-scan.ts";
import type { ServiceDirectory } from "./s6-service.ts";

const startTimeoutMs = 120_000;

/**
 * What the host has; changes nothing. What is on offer is asked of apt, which takes a second, only where a daemon is
 * not there already: `wanted`, or any if none is.
 */
export async function observeRuntimes(wanted?: RuntimeKind): Promise<RuntimeFacts> {
  const answering: Partial<Record<RuntimeKind, string>> = {};
  const names = RUNTIME_KINDS.map((kind) => RUNTIME_PACKAGES[kind][0] ?? "");
  for (const kind of RUNTIME_KINDS) {
    for (const socket of RUNTIME_SOCKETS[kind]) {
      if (answering[kind] === undefined && (await probeRuntime(socket)) !== undefined) {
        answering[kind] = socket;
      }
    }
  }
  const installed = new Set(await installedPackages(names));
  const enough = wanted === undefined ? Object.keys(answering).length > 0 : answering[wanted] !== undefined;
  const available = enough ? [] : await availablePackages(names);
  const having = (set: ReadonlySet<string>): readonly RuntimeKind[] =>
    RUNTIME_KINDS.filter((kind) => set.has(RUNTIME_PACKAGES[kind][0] ?? ""));
  return { answering, installed: having(installed), available: having(new Set(available)) };
}

/**
 * Has the chosen daemon answer on its socket. The caller holds the host lock.
 * @returns whether it had to be started
 * @throws HostError `host-runtime-silent` if it does not within two minutes
 */
export async function ensureRuntimeDaemon(
  choice: Pick<RuntimeChoice, "kind" | "socket">,
  supervisor: "systemd" | "s6",
): Promise<boolean> {
  if ((await probeRuntime(choice.socket)) !== undefined) return false;
  if (supervisor === "s6") {
    const scan = s6Scan(HOST_LAYOUT.servicesDir);
    await record(choice.kind, "s6");
    await mkdir(HOST_LOG_DIR, { recursive: true, mode: 0o750 });
    await scan.ensure();
    await scan.put(choice.kind, await renderDaemonService(choice.kind));
  } else {
    await record(choice.kind, "systemd");
    await runCommand("systemctl", ["enable", "--now", `${choice.kind}.service`], {
      timeoutMs: startTimeoutMs,
    });
  }
  await waitForDaemon(choice.socket);
  return true;
}

/**
 * Ends the daemons that are services of ours. Containers of other people that came to live in one run on.
 * A systemd unit is the package's, and others may use it by now: it stays.
 * @returns words for a person about what was removed
 */
export async function endRuntimeDaemon(): Promise<readonly string[]> {
  const ended: string[] = [];
  for (const { kind, by } of (await readRecords()).runtimeDaemons) {
    if (by !== "s6") continue;
    if (await s6Scan(HOST_LAYOUT.servicesDir).take(kind)) ended.push(`service ${kind}`);
    await changeRecords((records) => ({
      ...records,
      runtimeDaemons: records.runtimeDaemons.filter((each) => each.kind !== kind),
    }));
  }
  return ended;
}

async function record(kind: RuntimeKind, by: "s6" | "systemd"): Promise<void> {
  await changeRecords((records) => ({
    ...records,
    runtimeDaemons: [...records.runtimeDaemons.filter((each) => each.kind !== kind), { kind, by }],
  }));
}

/** The daemon writes its own log; it must not depend on a logger's pipe, whose end would kill it. */
async function renderDaemonService(kind: RuntimeKind): Promise<ServiceDirectory> {
  const program = await findDaemon(kind);
  const log = `${HOST_LOG_DIR}/${kind}.log`;
  return {
    run: [
      "#!/bin/sh",
      `# The container runtime's daemon, started by Bulkhead`,
      "exec >/dev/null 2>&1 </dev/null",
      "cd /",
      `exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/root ` +
        `${program} --group root --logfile ${log}`,
      "",
    ].join("\n"),
  };
}

/** Logs of what all installations share; no installation's name begins with a dot. */
export const HOST_LOG_DIR = "/var/log/bulkhead/.host";

async function findDaemon(kind: RuntimeKind): Promise<string> {
  const places =
    kind === "lxd"
      ? ["/usr/bin/lxd", "/usr/sbin/lxd"]
      : ["/usr/libexec/incus/incusd", "/usr/bin/incusd", "/usr/sbin/incusd"];
  for (const place of places) {
    try {
      await access(place);
      return place;
    } catch {
      // Not there: the next place.
    }
  }
  throw new HostError("host-runtime-unavailable", `the daemon of ${kind} is not installed`, {
    advice: `install it: apt-get install ${RUNTIME_PACKAGES[kind].join(" ")}`,
  });
}

async function waitForDaemon(socket: string): Promise<void> {
  const deadlineMs = performance.now() + startTimeoutMs;
  while ((await probeRuntime(socket)) === undefined) {
    if (performance.now() > deadlineMs) {
      throw new HostError("host-runtime-silent", `the runtime's daemon does not answer on ${socket}`, {
        advice: `see ${HOST_LOG_DIR}, or the journal of the daemon's unit where systemd runs it`,
      });
    }
    await delay(200);
  }
}
