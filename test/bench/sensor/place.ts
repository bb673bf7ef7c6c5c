/**
 * Place: a process with an empty network of its own, in an instrument's stead, and what arrives at its tap.
 *
 * Invariants: its interface is `mon0`, as in an instrument; counts are the kernel's, read without starting anything;
 * the process and with it its end of the wire go when it is disposed of.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, readlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { runCommand } from "@bulkhead/testkit";

export interface Place extends AsyncDisposable {
  readonly pid: number;
  /** Frames that arrived at a device; 0 before there is one. */
  received(device?: string): Promise<number>;
}

export async function makePlace(): Promise<Place> {
  const child = spawn("unshare", ["--net", "sleep", "infinity"], { stdio: "ignore" });
  await once(child, "spawn");
  const pid = child.pid ?? 0; // it was spawned
  await using undo = new AsyncDisposableStack();
  undo.defer(() => end(child));
  const own = await readlink("/proc/self/ns/net");
  while ((await readlink(`/proc/${pid}/ns/net`)) === own) await sleep(5);
  // Nothing but the bench's frames is to be on the wire.
  const settings = ["all", "default"].map((which) => `net.ipv6.conf.${which}.disable_ipv6=1`);
  await runCommand("nsenter", ["-t", String(pid), "-n", "--", "sysctl", "-q", "-w", ...settings]);
  const owned = undo.move();
  return {
    pid,
    received: async (device = "mon0") =>
      receivedFrames(await readFile(`/proc/${pid}/net/dev`, "utf8"), device),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The packet column of /proc/net/dev (proc_pid_net(5)); 0 for a device that is not there. */
export function receivedFrames(text: string, device: string): number {
  for (const line of text.split("\n")) {
    const [name, , packets] = line.trim().split(/[\s:]+/);
    if (name === device) return Number(packets);
  }
  return 0;
}

async function end(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  if (child.kill("SIGKILL")) await ended;
}
