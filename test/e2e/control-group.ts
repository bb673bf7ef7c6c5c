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

/** How often its share of the processors was used up: periods in which it had to wait for the next. */
export async function throttledPeriods(pid: number): Promise<number> {
  const text = await readFile(join(await groupDir(pid, "cpu", "cpu.stat"), "cpu.stat"), "utf8");
  return Number(/^nr_throttled (?<count>\d+)$/m.exec(text)?.groups?.["count"]);
}
