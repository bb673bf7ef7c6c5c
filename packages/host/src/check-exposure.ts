/**
 * Ways in which this host could write to a disk, in clear, what lies in memory alone: swap, core dumps, hibernation;
 * and what it lacks of shares for disks.
 *
 * Invariants: a check changes nothing. Instruments may not swap and dump no core (their limits say so), and neither do
 * the platform's processes dump; what is found here is about the keys and records in the platform's own memory, and
 * about handlers that ignore limits.
 */
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { readTextFile } from "./atomic-file.ts";
import { absent, failed, type HostCheck, ok } from "./host-check.ts";

/** @param before set-up goes on without; `doctor` counts it as failed. */
export async function checkSwap(before: boolean): Promise<HostCheck> {
  const clear = await findClearSwap();
  if (clear.length === 0) return ok("swap", "none that is written in clear");
  return exposed(
    before,
    "swap",
    `${clear.join(", ")} is not encrypted: memory may be written to it`,
    "swapoff -a and take it out of /etc/fstab, or put it on dm-crypt (crypttab(5), option `swap`), or use zram",
  );
}

/** core(5): a handler behind a pipe is started whatever the limit of the process is. */
export async function checkCoreDumps(before: boolean): Promise<HostCheck> {
  return judgeCorePattern((await readFile("/proc/sys/kernel/core_pattern", "utf8")).trim(), before);
}

export function judgeCorePattern(pattern: string, before: boolean): HostCheck {
  if (!pattern.startsWith("|")) return ok("core-dumps", "files only, and the limit for all of ours is 0");
  // It is told the limit (%c) and keeps nothing of a process whose limit is 0: systemd-coredump(8).
  if (/^\|\S*\/systemd-coredump\s.*%c/.test(pattern))
    return ok("core-dumps", "systemd-coredump, which keeps to limits");
  return exposed(
    before,
    "core-dumps",
    `core_pattern hands the memory of what crashes to ${pattern.slice(1).split(" ")[0]}, whatever its limit`,
    "sysctl kernel.core_pattern=core, and remove the package that sets it (such as apport)",
  );
}

/** Documentation/admin-guide/pm/sleep-states.rst: `disk` in /sys/power/state, `[disabled]` in /sys/power/disk. */
export async function checkHibernation(before: boolean): Promise<HostCheck> {
  const states = (await readTextFile("/sys/power/state")) ?? "";
  const ways = (await readTextFile("/sys/power/disk")) ?? "[disabled]";
  if (!states.split(/\s+/).includes("disk") || ways.includes("[disabled]")) {
    return ok("hibernation", "the kernel does not offer it");
  }
  if ((await findClearSwap()).length === 0) return ok("hibernation", "no swap in clear that it could go to");
  return exposed(
    before,
    "hibernation",
    "the kernel offers it, and swap is not encrypted: all memory would be written to it",
    "systemctl mask hibernate.target hybrid-sleep.target suspend-then-hibernate.target, or boot with `nohibernate`",
  );
}

const WEIGHT_FILES = ["blkio.bfq.weight", "blkio.weight", "io.weight", "io.bfq.weight"];

/** Shares of disks exist only with a scheduler that knows them (bfq, iocost); the root group has no such file. */
export async function checkDiskShares(): Promise<HostCheck> {
  const found: string[] = [];
  for (const top of ["/sys/fs/cgroup", "/sys/fs/cgroup/blkio"]) {
    const entries = await readdir(top, { withFileTypes: true }).catch(() => []);
    for (const group of entries.filter((entry) => entry.isDirectory())) {
      const files = await readdir(join(top, group.name)).catch(() => []);
      found.push(...files.filter((file) => WEIGHT_FILES.includes(file)));
    }
  }
  return found.length > 0
    ? ok("disk-shares", `${found[0]} of control groups`)
    : absent(
        "disk-shares",
        "no disk scheduler here gives shares by control group; instruments have the same share of a disk as others",
        "choose bfq for the disk (/sys/block/DISK/queue/scheduler) where the kernel has it",
      );
}

function exposed(before: boolean, id: string, detail: string, advice: string): HostCheck {
  return before ? absent(id, detail, advice) : failed(id, detail, advice);
}

/** Swap areas that are neither in memory (zram) nor on dm-crypt: proc_swaps(5). */
async function findClearSwap(): Promise<readonly string[]> {
  const lines = ((await readTextFile("/proc/swaps")) ?? "").trim().split("\n").slice(1);
  const names = lines.map((line) => (line.split(/\s+/)[0] ?? "").replaceAll("\\040", " "));
  const clear = await Promise.all(names.map(async (name) => ((await isProtected(name)) ? [] : [name])));
  return clear.flat();
}

async function isProtected(area: string): Promise<boolean> {
  if (/^\/dev\/zram\d+$/.test(area)) return true;
  const found = await stat(area).catch(() => null);
  if (found === null) return false;
  const device = found.isBlockDevice() ? found.rdev : found.dev;
  // makedev(3) of glibc: 12 bits of major and 8 of minor below, the rest of the minor above.
  const [major, minor] = [(device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xfff00)];
  return isEncrypted(`/sys/dev/block/${major}:${minor}`);
}

/** A dm-crypt device, or one that lies wholly on such. */
async function isEncrypted(device: string): Promise<boolean> {
  const uuid = (await readTextFile(`${device}/dm/uuid`)) ?? "";
  if (uuid.startsWith("CRYPT-")) return true;
  const below = await readdir(`${device}/slaves`).catch(() => []);
  if (below.length === 0) return false;
  const each = await Promise.all(below.map((name) => isEncrypted(`/sys/class/block/${basename(name)}`)));
  return each.every(Boolean);
}
