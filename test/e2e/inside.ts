/**
 * The inside of a container, as an attacker and as a witness: argv prefixes that enter its namespaces, and receivers
 * that listen there. An attacker so entered is not held by seccomp, limits or a read-only root: it can do more than
 * any process of the container, and what holds it is the kernel's say over the network alone.
 */
import { runCommand, type PacketTools } from "@bulkhead/testkit";
import { startListener } from "../../packages/testkit/src/listener-process.ts";

export type Prefix = readonly [string, ...string[]];

/** The container's root, with every capability of its user namespace. */
export function asContainerRoot(pid: number): Prefix {
  const namespaces = ["--user", "--net"];
  return ["nsenter", "--target", String(pid), ...namespaces, "--setuid", "0", "--setgid", "0", "--"];
}

/** The instrument's own user, with NET_RAW alone. */
export function asInstrument(pid: number): Prefix {
  const ids = ["--reuid=1000", "--regid=1000", "--clear-groups", "--no-new-privs"];
  const rights = ["--inh-caps=-all,+net_raw", "--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"];
  return [...asContainerRoot(pid), "setpriv", ...ids, ...rights, "--"];
}

/** The host's root in the container's network: the tests' own hand. */
export function inNetworkOf(pid: number): Prefix {
  return ["nsenter", "--target", String(pid), "--net", "--"];
}

/** The host's root in a named namespace. */
export function inNamed(namespace: string): Prefix {
  return ["nsenter", `--net=/run/netns/${namespace}`, "--"];
}

export async function run(prefix: Prefix, argv: readonly string[], input?: string): Promise<string> {
  const [file, ...args] = [...prefix, ...argv] as [string, ...string[]];
  return (await runCommand(file, args, input === undefined ? {} : { input })).stdout;
}

/** Sends raw frames, one by one. */
export async function sendFrom(
  prefix: Prefix,
  tools: PacketTools,
  device: string,
  frames: readonly string[],
): Promise<void> {
  await run(prefix, [tools.frames, "send", "--interface", device], `${frames.join("\n")}\n`);
}

/** Sends numbered test frames; returns how many the kernel took. */
export async function floodFrom(
  prefix: Prefix,
  tools: PacketTools,
  device: string,
  options: readonly string[],
): Promise<number> {
  const report = await run(prefix, [tools.send, "--interface", device, ...options]);
  // send.c prints exactly this shape.
  return (JSON.parse(report) as { readonly sent: number }).sent;
}

/** Records every frame of a device, as hex, until it is stopped. */
export async function recordIn(
  prefix: Prefix,
  tools: PacketTools,
  device: string,
): Promise<AsyncDisposable & { stop(): Promise<readonly string[]> }> {
  const listener = await startListener({
    argv: [...prefix, tools.frames, "receive", "--interface", device] as unknown as readonly [
      string,
      ...string[],
    ],
    isReady: (line) => line === "ready",
    stopSignal: "SIGTERM",
  });
  return {
    stop: async () => (await listener.stop()).stdout.split("\n").filter((line) => line !== ""),
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

/** What recv.c says of one interface, as far as the tests look at it. */
export interface CountReport {
  readonly received: number;
  readonly unique: number;
  readonly outOfOrder: number;
  readonly duplicates: number;
  readonly lost: number;
  readonly drops: number;
}

/** Counts numbered test frames on a device until it is stopped; `pid` is the counter's own process. */
export async function countIn(
  prefix: Prefix,
  tools: PacketTools,
  device: string,
  expect?: number,
): Promise<AsyncDisposable & { readonly pid: number; stop(): Promise<CountReport> }> {
  const expected = expect === undefined ? [] : ["--expect", String(expect)];
  const listener = await startListener({
    argv: [
      ...prefix,
      tools.recv,
      "--interfaces",
      device,
      "--ring-mib",
      "32",
      ...expected,
    ] as unknown as readonly [string, ...string[]],
    isReady: (line) => line === "ready",
    stopSignal: "SIGTERM",
  });
  return {
    pid: listener.pid,
    stop: async () => {
      const { stdout } = await listener.stop();
      const [report] = (JSON.parse(stdout) as { readonly interfaces: readonly CountReport[] }).interfaces;
      if (report === undefined) throw new Error(`recv said nothing of ${device}`);
      return report;
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

/** Packets that the kernel counted on a device. */
export async function packetsOf(
  prefix: Prefix,
  device: string,
): Promise<{ readonly received: number; readonly sent: number }> {
  const [link] = JSON.parse(
    await run(prefix, ["ip", "-j", "-s", "link", "show", "dev", device]),
  ) as readonly {
    readonly stats64: Readonly<Record<"rx" | "tx", { readonly packets: number }>>;
  }[];
  if (link === undefined) throw new Error(`no counters of ${device}`);
  return { received: link.stats64.rx.packets, sent: link.stats64.tx.packets };
}
