/**
 * A copier of user space in the mirror's place: reads frames from one device and writes them to another, with one
 * tap. Beside the sender's core it is given others, or that one alone.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeNamespace, namespacePath, runCommand } from "@bulkhead/testkit";
import { addVeth, type Lane, makeNetwork, ownedPlace, PORT, receivedAt } from "./lane.ts";
import type { PeerPrograms } from "./peer-programs.ts";

export const COPIERS = ["daemonlogger", "tcpdump-tcpreplay"] as const;
export type Copier = (typeof COPIERS)[number];

const SPAN = "span0";
/** Not `tap0`: tcpreplay takes a device of that name for a tuntap one. */
const TAP = "copy0";
const WIRE_MTU = 16_384;
/** They say nothing that can be relied on when they are ready. */
const START_MS = 1_000;

/**
 * @param cores those that the copier may use, as taskset takes them
 * @throws Error if a program ends instead of copying
 */
export async function openCopierLane(copier: Copier, programs: PeerPrograms, cores: string): Promise<Lane> {
  await using undo = new AsyncDisposableStack();
  const engine = undo.use(await makeNamespace());
  const network = undo.use(await makeNetwork(engine, SPAN));
  const place = await ownedPlace(undo);
  await addVeth(engine, TAP, place, "mon0", WIRE_MTU);
  const directory = await mkdtemp(join(tmpdir(), "bhbench-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  const children: ChildProcess[] = [];
  undo.defer(async () => {
    for (const child of children) await end(child);
  });
  for (const argv of await argvsOf(copier, programs, directory)) {
    const inside = [`--net=${namespacePath(engine.name)}`, "--", "nice", "-n", "-20", "taskset", "-c", cores];
    const child = spawn("nsenter", [...inside, ...argv], {
      stdio: "ignore",
      env: { ...process.env, LD_LIBRARY_PATH: programs.libraries },
    });
    children.push(child);
    await once(child, "spawn");
  }
  await sleep(START_MS);
  for (const child of children) {
    if (child.exitCode !== null)
      throw new Error(`${copier} ended by itself, with exit code ${child.exitCode}`);
  }
  const owned = undo.move();
  return {
    name: copier,
    path: { namespace: network.name, device: PORT, received: () => receivedAt([place]) },
    queues: true,
    places: [place],
    addTap: async () => undefined,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function argvsOf(
  copier: Copier,
  { daemonlogger, tcpdump, tcpreplay }: PeerPrograms,
  directory: string,
): Promise<readonly (readonly string[])[]> {
  if (copier === "daemonlogger") return [[daemonlogger, "-i", SPAN, "-o", TAP]];
  const fifo = join(directory, "frames");
  await runCommand("mkfifo", [fifo]);
  // Whole frames, written as soon as they come: the settings of somebody who wants a live copy.
  const writer = [tcpdump, "-i", SPAN, "-n", "-U", "-s", "0", "-B", "16384", "-Z", "root", "-w", fifo];
  return [writer, [tcpreplay, "--topspeed", "--quiet", "-i", TAP, fifo]];
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}
