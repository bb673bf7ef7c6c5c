/**
 * Bare Suricata: the very program of the instrument's image with the very settings, but on the host: no container,
 * no mirror, and read as people read it, by following its EVE file.
 *
 * It is unpacked aside and run by its own loader and libraries, so nothing is installed or mounted; network namespace
 * and files go when it is disposed of.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { joinByVeth, makeNamespace, namespacePath, runCommand } from "@bulkhead/testkit";
import {
  readCaptureCounters,
  renderSuricataYaml,
  Settings,
} from "../../../instruments/suricata/src/index.ts";
import type { ProbePort } from "./probe-sender.ts";

const DEVICE = "mon0";
const START_TIMEOUT_MS = 60_000;

export interface BareSuricata extends AsyncDisposable {
  readonly port: ProbePort;
  /** Calls back for each record that the EVE file gets from now on. */
  follow(take: (record: string) => void): Promise<AsyncDisposable>;
}

export interface BareOptions {
  /** Root file system of the instrument's image. */
  readonly rootfsTar: string;
  /** The instrument's settings, as the site has them. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly rules: string;
}

/** @throws Error if it does not start. */
export async function startBareSuricata(options: BareOptions): Promise<BareSuricata> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bhbench-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  const root = join(directory, "root");
  const runDir = join(directory, "run");
  for (const path of [root, runDir, join(runDir, "log")]) await mkdir(path);
  await runCommand("tar", ["-xf", options.rootfsTar, "-C", root], { timeoutMs: 120_000 });
  const wire = undo.use(await makeNamespace());
  const sensor = undo.use(await makeNamespace());
  const mtu = { mtu: 9216 };
  await joinByVeth({ namespace: wire, device: "port0" }, { namespace: sensor, device: DEVICE }, mtu);

  const eve = join(runDir, "eve.json");
  const commandSocket = join(runDir, "command.sock");
  const rules = join(directory, "bench.rules");
  await writeFile(rules, options.rules);
  const yaml = join(directory, "suricata.yaml");
  const etcDir = join(root, "etc/suricata");
  const paths = {
    interface: DEVICE,
    runDir,
    fifo: eve,
    commandSocket,
    etcDir,
    operatorRules: [rules],
    thresholdFile: null,
    rulesDir: directory,
  };
  await writeFile(yaml, renderSuricataYaml(Settings.parse(options.settings), paths));
  const program = [...loader(root), join(root, "usr/bin/suricata"), "-c", yaml, `--af-packet=${DEVICE}`];
  const child = spawn(
    "nsenter",
    [`--net=${namespacePath(sensor.name)}`, "--", ...program, "-l", join(runDir, "log")],
    {
      cwd: runDir,
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const said: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    stream.on("data", (chunk: Buffer) => said.push(chunk.toString()));
  undo.defer(() => end(child));
  await untilCapturing(child, commandSocket, said);
  const owned = undo.move();
  return {
    port: { namespace: wire.name, device: "port0" },
    follow: (take) => followFile(eve, take),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The image's own dynamic loader (ld.so(8)), so that the host's libraries do not matter. */
function loader(root: string): readonly string[] {
  const triplet = process.arch === "arm64" ? "aarch64-linux-gnu" : "x86_64-linux-gnu";
  const name = process.arch === "arm64" ? "ld-linux-aarch64.so.1" : "ld-linux-x86-64.so.2";
  const libraries = join(root, "usr/lib", triplet);
  return [join(libraries, name), "--library-path", libraries];
}

async function untilCapturing(child: ChildProcess, socket: string, said: readonly string[]): Promise<void> {
  const deadlineMs = performance.now() + START_TIMEOUT_MS;
  while (child.exitCode === null && performance.now() < deadlineMs) {
    // Silent until it listens.
    const counters = await readCaptureCounters(socket, DEVICE).catch(() => null);
    if (counters !== null) return;
    await sleep(100);
  }
  throw new Error(`Suricata on the host did not start: ${said.join("").slice(-2_000)}`);
}

/** tail(1) follows by inotify. */
async function followFile(file: string, take: (record: string) => void): Promise<AsyncDisposable> {
  const tail = spawn("tail", ["-n", "0", "-F", file], { stdio: ["ignore", "pipe", "ignore"] });
  await once(tail, "spawn");
  createInterface({ input: tail.stdout }).on("line", take);
  await sleep(200); // until it watches; it does not say when
  return { [Symbol.asyncDispose]: () => end(tail) };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  const late = setTimeout(() => child.kill("SIGKILL"), 10_000);
  await ended;
  clearTimeout(late);
}
