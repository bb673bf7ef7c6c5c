/**
 * A stand for tests of segments: a machine of the segment in a namespace of its own, the segment's device on the host,
 * and warden's own network code over them. Processes as an unprivileged user in an instrument's namespace stand for
 * the instrument. Everything has names of its own and goes when it is disposed of.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { DesiredNic, DesiredPort } from "@bulkhead/core";
import { makeNamespace, type NetworkNamespace, runCommand, tryCommand } from "@bulkhead/testkit";
import { hostCommands } from "../../../packages/warden/src/commands.ts";
import { NamespaceCensus } from "../../../packages/warden/src/datapath/namespace-census.ts";
import { kernelNetwork, type Network } from "../../../packages/warden/src/network/network.ts";

export const SEGMENT = "dmz";
export const LAN4 = "192.0.2.1";
export const LAN6 = "2001:db8::1";

export interface NetworkStand extends AsyncDisposable {
  readonly slug: string;
  readonly network: Network;
  /** The machine on the segment; its device is `lan0`. */
  readonly lan: NetworkNamespace;
  /** The segment's device on the host. */
  readonly device: string;
  readonly directory: string;
  /** The ports that there shall be, for `observe`. */
  readonly ports: DesiredPort[];
  connect(port: Partial<DesiredPort> & Pick<DesiredPort, "instrument">): Promise<DesiredPort>;
  /** A look at the kernel, for the stand's ports unless told otherwise. */
  observe(nics?: readonly DesiredNic[]): Promise<Awaited<ReturnType<Network["observe"]>>>;
  state(instrument: string): Promise<string | undefined>;
  namespace(instrument: string): string;
}

export async function makeNetworkStand(): Promise<NetworkStand> {
  const id = randomBytes(3).toString("hex");
  const slug = `bulkhead-nw${id}`;
  const device = `bhnw${id}`;
  const commands = hostCommands();
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bhnw-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  // An unprivileged client passes through it.
  await runCommand("chmod", ["0755", directory]);
  const lan = undo.use(await makeNamespace({ name: `bhnw-${id}-lan`, ipv6: true }));
  undo.defer(async () => void (await tryCommand("ip", ["link", "del", "dev", device])));
  await runCommand("ip", ["link", "add", device, "type", "veth", "peer", "name", "lan0", "netns", lan.name]);
  await lan.ip("addr", "add", `${LAN4}/24`, "dev", "lan0");
  await lan.ip("addr", "add", `${LAN6}/64`, "dev", "lan0", "nodad");
  await lan.ip("link", "set", "lan0", "up");
  const census = new NamespaceCensus(commands);
  const network = await kernelNetwork({
    commands,
    slug,
    libDir: directory,
    onHint: () => undefined,
  });
  undo.defer(() => network.removeSegment(SEGMENT));
  const ports: DesiredPort[] = [];
  undo.defer(async () => {
    for (const { instrument } of ports) await network.disconnectPort(instrument);
  });
  await network.createSegment({ segment: SEGMENT, device, vlan: null });
  const observe = async (nics: readonly DesiredNic[] = []) =>
    network.observe({ ports, nics }, await census.take());
  const owned = undo.move();
  return {
    slug,
    network,
    lan,
    device,
    directory,
    ports,
    async connect(port) {
      const address = { addresses: ["192.0.2.10/24", "2001:db8::10/64"], gateways: [] };
      const whole = {
        segment: SEGMENT,
        address,
        listen: [],
        egress: [],
        networks: [],
        policy: "aa",
        ...port,
      };
      const at = ports.findIndex((p) => p.instrument === port.instrument);
      ports.splice(at < 0 ? ports.length : at, at < 0 ? 0 : 1, whole);
      await network.connectPort(whole);
      return whole;
    },
    observe,
    async state(instrument) {
      const found = await observe();
      return found.ports.find((p) => p.instrument === instrument)?.state;
    },
    namespace: (instrument) => `${slug}-${instrument}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** A program in a namespace, as nobody with no capability: what an instrument's process is there. */
export function asInstrument(namespace: string, argv: readonly string[]): readonly string[] {
  const drop = ["--reuid=65533", "--regid=65533", "--clear-groups", "--bounding-set=-all", "--no-new-privs"];
  return [`--net=/run/netns/${namespace}`, "--", "setpriv", ...drop, "--", ...argv];
}

const LISTENER = `
const { createServer } = require("node:net");
const ports = process.argv.slice(1).map(Number);
let left = ports.length;
for (const port of ports) createServer((s) => { s.on("error", () => undefined); s.end("here"); })
  .listen(port, "::", () => { if (--left === 0) console.log("listening"); });
`;
const CONNECT = `
const { connect } = require("node:net");
const socket = connect({ host: process.argv[1], port: Number(process.argv[2]) });
socket.setTimeout(Number(process.argv[3]), () => { console.log("silent"); process.exit(); });
socket.on("data", (data) => { console.log("open " + data); process.exit(); });
socket.on("error", (error) => { console.log(error.code); process.exit(); });
`;

/** Listens on TCP ports in a namespace, and says `here` to whoever comes. */
export async function listen(namespace: string, ports: readonly number[]): Promise<AsyncDisposable> {
  const argv = [process.execPath, "-e", LISTENER, ...ports.map(String)];
  const child = spawn("nsenter", asInstrument(namespace, argv), { stdio: ["ignore", "pipe", "inherit"] });
  await once(child.stdout, "data");
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}

/** `open here`, or what came instead: `silent` where nothing did. */
export async function reach(
  namespace: string,
  host: string,
  port: number,
  timeoutMs = 1_500,
): Promise<string> {
  const argv = [process.execPath, "-e", CONNECT, host, String(port), String(timeoutMs)];
  return (await runCommand("nsenter", asInstrument(namespace, argv))).stdout.trim();
}

export async function until(what: string, condition: () => Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > deadlineMs) throw new Error(`not within 60 s: ${what}`);
    await sleep(100);
  }
}
