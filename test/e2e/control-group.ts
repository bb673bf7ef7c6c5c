/** A container's own control group, of either version, read from outside. */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";

/** @param file one that a group of that controller has. @throws Error where no group of the process has it */
export async function groupDir(pid: number, controller: string, file: string): Promise<string> {
  const lines = (await readFile(`/proc/${pid}/cgroup`, "utf8")).split("\n").map((line) => line.split(":"));
  const own = lines.find(([, names]) => names === controller) ?? lines.find(([, names]) => names === "");
  for (const top of [`/sys/fs/cgroup/${controller}`, "/sys/fs/cgroup"]) {
    const dir = join(top, own?.[2] ?? "/");
    try {
      await access(join(dir, file));
      return dir;
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error;
    }
  }
  throw new Error(`no group of ${pid} has ${file}`);
}

export async function processesOf(pid: number): Promise<{ readonly max: number; readonly current: number }> {
  const dir = await groupDir(pid, "pids", "pids.max");
  const of = async (file: string): Promise<number> => Number(await readFile(join(dir, file), "utf8"));
  return { max: await of("pids.max"), current: await of("pids.current") };
}

/** Time of all processors that its processes took so far, in milliseconds. */
export async function processorMs(pid: number): Promise<number> {
  const read = async (controller: string, file: string): Promise<string | null> => {
    const dir = await groupDir(pid, controller, file).catch(() => null);
    return dir === null ? null : readFile(join(dir, file), "utf8");
  };
  const first = await read("cpuacct", "cpuacct.usage");
  if (first !== null) return Number(first) / 1e6;
  const second = await read("cpu", "cpu.stat");
  return Number(/^usage_usec (?<count>\d+)$/m.exec(second ?? "")?.groups?.["count"]) / 1e3;
}
