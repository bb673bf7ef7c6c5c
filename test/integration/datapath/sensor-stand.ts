/**
 * A stand for the datapath's tests: a span port in a namespace of its own, its device on the host, and processes with
 * namespaces of their own in place of instruments. Everything has names of its own and goes when it is disposed of.
 */
import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { readlinkSync, rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hostCommands } from "../../../packages/warden/src/commands.ts";
import { NamespaceCensus } from "../../../packages/warden/src/datapath/namespace-census.ts";
import type { Commands } from "../../../packages/warden/src/commands.ts";
import { kernelDatapath } from "../../../packages/warden/src/datapath/datapath.ts";
import type { Datapath, DatapathState, Known } from "../../../packages/warden/src/datapath/datapath.ts";
import { wireDeviceName } from "../../../packages/warden/src/datapath/naming.ts";
import { frameTool } from "./frame-tool.ts";
import type { FrameTool } from "./frame-tool.ts";

export const engine = "capture";
export const spanKey = "span0";

export interface SensorStand extends AsyncDisposable {
  readonly slug: string;
  /** The span device's name on the host. */
  readonly device: string;
  readonly datapath: Datapath;
  readonly commands: Commands;
  readonly tool: FrameTool;
  /** Where frames are put onto the protected network; the interface there is `port0`. */
  readonly network: string;
  /** `nsenter` prefix of the engine's namespace. */
  readonly inEngine: readonly string[];
  /** `nsenter` prefix of the network's namespace. */
  readonly inNetwork: readonly string[];
  readonly span: { readonly engine: string; readonly interface: string; readonly device: string };
  /** What the site knows: taps by instrument with their filters. */
  readonly filters: Map<string, string>;
  readonly pids: Map<string, number>;
  known(): Known;
  /** A look at the kernel, by what the stand knows unless told otherwise. */
  observe(known?: Known): Promise<DatapathState>;
  /** Starts a process with a network namespace of its own in an instrument's stead; returns its pid. */
  startInstrument(name: string): Promise<number>;
  stopInstrument(name: string): Promise<void>;
  /** Instrument, wire and mirror in one. */
  addTap(name: string, filter?: string): Promise<void>;
  /** The engine's end of a tap's wire. */
  wireName(name: string): string;
  inInstrument(name: string): readonly string[];
  /** Makes the span's device on the host, with its other end in the network. */
  plugSpan(): Promise<void>;
}

/** Engine and span ready, no tap. */
export async function makeStand(): Promise<SensorStand> {
  const id = randomBytes(3).toString("hex");
  const slug = `bulkhead-dp${id}`;
  const device = `bhdp${id}`;
  const network = `bhdp-${id}-net`;
  const commands = hostCommands();
  const census = new NamespaceCensus(commands);
  const datapath = kernelDatapath({ commands, slug, census });
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bhdp-"));
  undo.defer(() => rmSync(directory, { recursive: true }));
  const tool = undo.use(await frameTool(directory));
  await commands.run(["ip", "netns", "add", network]);
  undo.defer(async () => void (await commands.run(["ip", "netns", "del", network])));
  const sysctl = ["all", "default"].map((which) => `/proc/sys/net/ipv6/conf/${which}/disable_ipv6`);
  await commands.run(["ip", "netns", "exec", network, "tee", ...sysctl], { input: "1" });
  undo.defer(() => removeHostDevice(commands, device));
  undo.defer(() => datapath.removeEngine(engine));
  const filters = new Map<string, string>();
  const pids = new Map<string, number>();
  const stops = new Map<string, () => Promise<void>>();
  undo.defer(async () => {
    for (const stop of stops.values()) await stop();
  });

  const known = (): Known => ({
    pids,
    taps: Array.from(filters, ([instrument, filter]) => ({ engine, instrument, filter })),
  });
  const stand = {
    slug,
    device,
    datapath,
    commands,
    tool,
    network,
    inEngine: ["nsenter", `--net=${datapath.enginePath(engine)}`, "--"],
    inNetwork: ["nsenter", `--net=/run/netns/${network}`, "--"],
    span: { engine, interface: spanKey, device },
    filters,
    pids,
    known,
    observe: async (what = known()) => datapath.observe(what, await census.take()),
    async startInstrument(name: string) {
      const child = spawn("unshare", ["-n", "sleep", "infinity"], { stdio: "ignore" });
      const ended = new Promise<void>((resolve) => child.once("exit", () => resolve()));
      const pid = child.pid;
      if (pid === undefined) throw new Error("unshare did not start");
      stops.set(name, async () => {
        pids.delete(name);
        stops.delete(name);
        child.kill("SIGKILL");
        await ended;
      });
      const own = readlinkSync("/proc/self/ns/net");
      while (readlinkSync(`/proc/${pid}/ns/net`) === own) await sleep(5);
      pids.set(name, pid);
      return pid;
    },
    async stopInstrument(name: string) {
      await stops.get(name)?.();
    },
    async addTap(name: string, filter = "") {
      const pid = await stand.startInstrument(name);
      filters.set(name, filter);
      await datapath.connectWire({ engine, instrument: name, pid });
      await datapath.setMirror({ engine, instrument: name, interface: spanKey, filter });
    },
    wireName: (name: string) => wireDeviceName(slug, { engine, instrument: name }),
    inInstrument: (name: string) => ["nsenter", "-t", String(pids.get(name)), "-n", "--"],
    async plugSpan() {
      const far = ["peer", "name", "port0", "mtu", "9216", "netns", network];
      await commands.run(["ip", "link", "add", "name", device, "mtu", "1500", "type", "veth", ...far]);
      await commands.run(["ip", "-n", network, "link", "set", "port0", "up"]);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  } satisfies SensorStand;

  await stand.plugSpan();
  await datapath.createEngine(engine);
  await datapath.takeSpan(stand.span);
  const owned = undo.move();
  return stand;
}

async function removeHostDevice(commands: Commands, device: string): Promise<void> {
  const { stdout } = await commands.run(["ip", "-o", "link", "show"]);
  if (stdout.includes(` ${device}@`)) await commands.run(["ip", "link", "del", "dev", device]);
}
