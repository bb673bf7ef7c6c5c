/**
 * Whether this host can carry an installation: one result a check, with what to do about what is wrong.
 *
 * Invariants: a check changes nothing, and one that cannot be run counts as failed. Rendering is the caller's.
 */
import { readFile } from "node:fs/promises";
import { cpus, totalmem } from "node:os";
import type { InstallationLayout } from "@bulkhead/schema";
import { readTextFile } from "./atomic-file.ts";
import { checkCoreDumps, checkDiskShares, checkHibernation, checkSwap } from "./check-exposure.ts";
import { checkMirrors } from "./check-mirrors.ts";
import { checkFscrypt } from "./check-fscrypt.ts";
import { checkDisk, checkPort, checkTime } from "./check-resources.ts";
import { checkVault } from "./check-vault.ts";
import { errorMessage, HostError } from "./error.ts";
import { absent, failed, type HostCheck, ok } from "./host-check.ts";
import { readSettings } from "./installations.ts";
import { type KernelFeature, probeKernel } from "./kernel-probe.ts";
import { observeRuntimes } from "./runtime-daemon.ts";
import { RUNTIME_PACKAGES } from "./runtime-choice.ts";
import { hasLine, SUBORDINATE_FILES, SUBORDINATE_LINE } from "./subordinate-ids.ts";
import { sysctlFile } from "./sysctls.ts";

/**
 * `before-setup`: what set-up will bring is `absent` and no failure, and the mirrors that it needs are asked.
 * `repair`: set-up runs again; the same without the mirrors. `doctor`: all of it should be there.
 */
export interface HostCheckOptions {
  readonly phase: "before-setup" | "repair" | "doctor";
  readonly signal?: AbortSignal;
}

/** Runs all checks; they are independent, and one that cannot be run counts as failed. */
export async function checkHost(
  layout: InstallationLayout,
  options: HostCheckOptions,
): Promise<readonly HostCheck[]> {
  const before = options.phase !== "doctor";
  const checks: Readonly<Record<string, () => Promise<HostCheck | readonly HostCheck[]>>> = {
    root: checkRoot,
    release: checkRelease,
    kernel: () => checkKernel(before),
    cgroup: checkCgroup,
    apparmor: checkAppArmor,
    "disk-shares": checkDiskShares,
    swap: () => checkSwap(before),
    "core-dumps": () => checkCoreDumps(before),
    hibernation: () => checkHibernation(before),
    runtime: () => checkRuntime(before),
    "subordinate-ids": () => checkSubordinateIds(before),
    inotify: () => checkInotify(before),
    memory: checkMemory,
    fscrypt: checkFscrypt,
    vault: () => checkVault(layout),
    disk: () => checkDisk(options.phase === "before-setup"),
    port: async () => checkPort(await readSettings(layout)),
    time: checkTime,
    ...(options.phase === "before-setup" ? { mirrors: () => checkMirrors(options.signal) } : {}),
  };
  const results = await Promise.all(
    Object.entries(checks).map(async ([id, run]) => {
      try {
        return await run();
      } catch (error) {
        const advice = error instanceof HostError ? error.advice : "see the message";
        return failed(id, errorMessage(error), advice);
      }
    }),
  );
  return results.flat();
}

/** Absent where set-up will bring it, failed where it should have. */
function lacking(before: boolean, id: string, detail: string): HostCheck {
  return before
    ? absent(id, detail, "`bulkhead setup` brings it")
    : failed(id, detail, "run `bulkhead setup` again");
}

async function checkRoot(): Promise<HostCheck> {
  const uid = process.getuid?.() ?? -1;
  return uid === 0
    ? ok("root", "running as root")
    : failed("root", `running as uid ${uid}`, "run it with sudo");
}

async function checkRelease(): Promise<HostCheck> {
  return judgeRelease((await readTextFile("/etc/os-release")) ?? "");
}

/** Judges os-release(5): Debian 12 or newer, Ubuntu 22.04 or newer, or what says that it is like them. */
export function judgeRelease(text: string): HostCheck {
  const values = new Map(
    [...text.matchAll(/^([A-Z_]+)="?([^"\n]*)"?$/gm)].map(([, key = "", value = ""]) => [key, value]),
  );
  const id = values.get("ID") ?? "unknown";
  const title = values.get("PRETTY_NAME") ?? id;
  const version = Number(values.get("VERSION_ID") ?? Number.NaN);
  const minimum = { debian: 12, ubuntu: 22.04 }[id];
  if (minimum !== undefined && version >= minimum) return ok("release", title);
  const kin = (values.get("ID_LIKE") ?? "").split(" ");
  if (minimum === undefined && (kin.includes("debian") || kin.includes("ubuntu"))) {
    return absent("release", `${title}, which is like Debian`, "it is not tested on this system");
  }
  // A rolling Debian has no version.
  if (id === "debian" && !values.has("VERSION_ID")) return ok("release", title);
  return failed("release", title, "use Debian 12 or newer, or Ubuntu 22.04 or newer");
}

async function checkKernel(before: boolean): Promise<readonly HostCheck[]> {
  const version = (await readFile("/proc/sys/kernel/osrelease", "utf8")).trim();
  let features;
  try {
    features = await probeKernel();
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== "host-command-missing") throw error;
    return [ok("kernel", version), lacking(before, "kernel-features", errorMessage(error))];
  }
  return [ok("kernel", version), ...features.map(judgeFeature)];
}

/** What only some sites need is absent where it is missing, and what needs it waits. */
const WITHOUT: Partial<
  Record<KernelFeature["feature"], { readonly waits: string; readonly advice: string }>
> = {
  vlan: {
    waits: "a segment or egress interface with a VLAN",
    advice: "load the module 8021q, or give the VLAN a device of its own on the switch",
  },
  "connection-limit": {
    waits: "an instrument with a port on a segment",
    advice: "load the module nft_connlimit, or use a kernel with NFT_CONNLIMIT",
  },
};

function judgeFeature({ feature, present, reason }: KernelFeature): HostCheck {
  const id = `kernel-${feature}`;
  if (present) return ok(id, "tried in a namespace of its own");
  const without = WITHOUT[feature];
  if (without !== undefined) return absent(id, `${reason}: ${without.waits} waits`, without.advice);
  return failed(
    id,
    reason,
    `use a kernel with ${feature} (the distribution's own has it), or load its module`,
  );
}

async function checkCgroup(): Promise<HostCheck> {
  const unified = await readTextFile("/sys/fs/cgroup/cgroup.controllers");
  if (unified !== undefined) return ok("cgroup", `version 2 (${unified.trim()})`);
  const text = (await readTextFile("/proc/cgroups")) ?? "";
  const enabled = new Set(
    text
      .split("\n")
      .map((line) => line.split("\t"))
      .filter((fields) => fields[3] === "1")
      .map(([name = ""]) => name),
  );
  const missing = ["cpu", "memory", "pids", "devices", "freezer"].filter((name) => !enabled.has(name));
  return missing.length === 0
    ? ok("cgroup", "version 1 (cpu, memory, pids, devices, freezer)")
    : failed("cgroup", `without ${missing.join(", ")}`, "enable these controllers in the kernel");
}

async function checkAppArmor(): Promise<HostCheck> {
  const enabled = await readTextFile("/sys/module/apparmor/parameters/enabled");
  return enabled?.trim() === "Y"
    ? ok("apparmor", "enabled")
    : absent(
        "apparmor",
        "the kernel has none; instruments run without this layer",
        "boot with apparmor=1 security=apparmor where the kernel offers it",
      );
}

async function checkRuntime(before: boolean): Promise<HostCheck> {
  const facts = await observeRuntimes();
  const answering = Object.entries(facts.answering);
  if (answering.length > 0) {
    return ok("runtime", answering.map(([kind, socket]) => `${kind} on ${socket}`).join(", "));
  }
  if (facts.installed.length > 0) {
    const detail = `${facts.installed.join(", ")} is installed and does not answer`;
    return before
      ? absent("runtime", detail, "`bulkhead setup` starts it")
      : failed("runtime", detail, "run `bulkhead up`, or see the daemon's log");
  }
  if (facts.available.length > 0) {
    return lacking(before, "runtime", `none yet; apt offers ${facts.available.join(", ")}`);
  }
  return failed(
    "runtime",
    "no LXD or Incus, and the package lists offer none",
    `run apt-get update, then: apt-get install ${RUNTIME_PACKAGES.lxd.join(" ")}`,
  );
}

async function checkSubordinateIds(before: boolean): Promise<HostCheck> {
  const missing: string[] = [];
  for (const file of SUBORDINATE_FILES) {
    if (!hasLine((await readTextFile(file)) ?? "")) missing.push(file);
  }
  return missing.length === 0
    ? ok("subordinate-ids", SUBORDINATE_LINE)
    : lacking(before, "subordinate-ids", `${SUBORDINATE_LINE} is not in ${missing.join(", ")}`);
}

async function checkInotify(before: boolean): Promise<HostCheck> {
  const value = Number(await readFile(sysctlFile("fs.inotify.max_user_instances"), "utf8"));
  const detail = `fs.inotify.max_user_instances is ${value}`;
  return value >= 1024 ? ok("inotify", detail) : lacking(before, "inotify", `${detail} of 1024`);
}

async function checkMemory(): Promise<HostCheck> {
  const mebibytes = Math.round(totalmem() / 1024 ** 2);
  const detail = `${mebibytes} MiB, ${cpus().length} processors`;
  return mebibytes >= 1900
    ? ok("memory", detail)
    : failed("memory", detail, "2 GiB are the least; a demo takes about 1 GiB");
}
