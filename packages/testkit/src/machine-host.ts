/**
 * What a machine holds besides its network: processes, mounts, loop devices, accounts, files, listeners, parameters.
 *
 * Invariants: read-only; what vanishes while it is read is left out; sizes and times of files are not compared,
 * the contents of small ones outside of logs are, by digest.
 */
import { createHash } from "node:crypto";
import { type Dirent, type Stats } from "node:fs";
import { lstat, readFile, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { tryCommand } from "./command.ts";

/** Trees whose every file is listed: where Bulkhead writes, and where a host is configured. */
const FILE_ROOTS = [
  "/etc/bulkhead",
  "/opt/bulkhead",
  "/var/lib/bulkhead",
  "/var/cache/bulkhead",
  "/run/bulkhead",
  "/var/log/bulkhead",
  "/etc/systemd/system",
  "/etc/sudoers.d",
  "/etc/sysctl.d",
  "/etc/modules-load.d",
  "/etc/tmpfiles.d",
  "/etc/cron.d",
  "/etc/udev/rules.d",
  "/etc/bash_completion.d",
  "/etc/logrotate.d",
  "/etc/apt",
  "/usr/local/bin",
  "/usr/local/sbin",
  "/run/netns",
  "/run/systemd/system",
] as const;

/** Kernel parameters that a sensor could have changed. */
const PARAMETERS = [
  "net/core",
  "net/ipv4/ip_forward",
  "net/ipv6/conf/all",
  "net/ipv6/conf/default",
  "net/ipv4/conf/all",
  "net/bridge",
  "net/unix",
  "fs/inotify",
  "fs/file-max",
  "kernel/keys",
  "kernel/unprivileged_bpf_disabled",
  "user",
  "vm/max_map_count",
] as const;

const DIGEST_LIMIT_BYTES = 1 << 20;
const CGROUP_DEPTH = 3;

export async function listProcesses(): Promise<readonly string[]> {
  const pids = (await entries("/proc")).map((entry) => entry.name).filter((name) => /^\d+$/.test(name));
  const commands = await Promise.all(pids.map((pid) => readText(`/proc/${pid}/cmdline`)));
  // A kernel thread has no command line.
  return commands.flatMap((command) =>
    command === undefined || command === "" ? [] : [command.replaceAll("\0", " ").trim()],
  );
}

export async function listMounts(): Promise<readonly string[]> {
  const text = (await readText("/proc/self/mountinfo")) ?? "";
  return text.split("\n").flatMap((line) => {
    // proc(5): ID, parent, device, root, mount point, options, optional fields, "-", type, source, super options.
    const [front = "", back = ""] = line.split(" - ");
    const [, , , root, point] = front.split(" ");
    const [type, source] = back.split(" ");
    return point === undefined ? [] : [`${point} ${type} ${source} ${root}`];
  });
}

export async function listLoops(): Promise<readonly string[]> {
  const text = await tryCommand("losetup", ["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
  return (text ?? "")
    .split("\n")
    .flatMap((line) => (line.trim() === "" ? [] : [line.trim().replaceAll(/\s+/g, " ")]));
}

export async function listAccounts(): Promise<readonly string[]> {
  return [...(await listLines("/etc/passwd")), ...(await listLines("/etc/group"))];
}

export async function listSubordinateIds(): Promise<readonly string[]> {
  return [...(await listLines("/etc/subuid")), ...(await listLines("/etc/subgid"))];
}

export async function listListeners(): Promise<readonly string[]> {
  const text = await tryCommand("ss", ["-H", "-l", "-n", "-t", "-u", "-x", "-0"]);
  return (text ?? "").split("\n").flatMap((line) => {
    const [protocol, , , , local] = line.split(/\s+/);
    return protocol === undefined || local === undefined ? [] : [`${protocol} ${local}`];
  });
}

export async function listCgroups(): Promise<readonly string[]> {
  const walk = async (directory: string, depth: number): Promise<readonly string[]> => {
    const below = (await entries(directory)).filter((entry) => entry.isDirectory());
    const paths = below.map((entry) => join(directory, entry.name));
    const deeper = depth === 1 ? [] : await Promise.all(paths.map((path) => walk(path, depth - 1)));
    return [...paths, ...deeper.flat()];
  };
  return walk("/sys/fs/cgroup", CGROUP_DEPTH);
}

export async function listSysctls(): Promise<readonly string[]> {
  const read = async (path: string): Promise<readonly string[]> => {
    const status = await stats(path);
    if (status === undefined) return [];
    if (status.isDirectory()) {
      const below = await Promise.all((await entries(path)).map((entry) => read(join(path, entry.name))));
      return below.flat();
    }
    const value = await readText(path);
    return value === undefined ? [] : [`${path.slice("/proc/sys/".length)} = ${value.trim()}`];
  };
  return (await Promise.all(PARAMETERS.map((name) => read(join("/proc/sys", name))))).flat();
}

export async function listFiles(): Promise<readonly string[]> {
  return (await Promise.all(FILE_ROOTS.map(describe))).flat();
}

async function describe(path: string): Promise<readonly string[]> {
  const status = await stats(path);
  if (status === undefined) return [];
  const mode = (status.mode & 0o7777).toString(8).padStart(4, "0");
  const line = `${path} ${kindOf(status)} ${mode} ${status.uid}:${status.gid}`;
  if (status.isDirectory()) {
    const below = await Promise.all((await entries(path)).map((entry) => describe(join(path, entry.name))));
    return [line, ...below.flat()];
  }
  if (status.isSymbolicLink()) return [`${line} ${(await ifThere(() => readlink(path))) ?? ""}`];
  const isCompared = status.isFile() && status.size <= DIGEST_LIMIT_BYTES && path.startsWith("/etc/");
  const text = isCompared ? await readText(path) : undefined;
  return [
    text === undefined ? line : `${line} ${createHash("sha256").update(text).digest("hex").slice(0, 16)}`,
  ];
}

function kindOf(status: Stats): string {
  if (status.isDirectory()) return "directory";
  if (status.isSymbolicLink()) return "symlink";
  if (status.isSocket()) return "socket";
  if (status.isFIFO()) return "fifo";
  return status.isFile() ? "file" : "device";
}

async function listLines(path: string): Promise<readonly string[]> {
  return ((await readText(path)) ?? "")
    .split("\n")
    .flatMap((line) => (line === "" ? [] : [`${path} ${line}`]));
}

function entries(path: string): Promise<readonly Dirent[]> {
  return ifThere(() => readdir(path, { withFileTypes: true })).then((found) => found ?? []);
}

function stats(path: string): Promise<Stats | undefined> {
  return ifThere(() => lstat(path));
}

function readText(path: string): Promise<string | undefined> {
  return ifThere(() => readFile(path, "utf8"));
}

/** What is gone, not ours to read, or write-only is absent. */
async function ifThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof Error && "code" in error && ABSENT.has(String(error.code))) return undefined;
    throw error;
  }
}

const ABSENT: ReadonlySet<string> = new Set([
  "ENOENT",
  "ENOTDIR",
  "ESRCH",
  "EACCES",
  "EPERM",
  "EIO",
  "EINVAL",
  "ENODEV",
]);
