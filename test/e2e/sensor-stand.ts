/**
 * A stand for end-to-end tests of a whole sensor: an installation with a name of its own, a span device whose far end
 * lies in a namespace of the test's, a site over it, and marks: packets that an IDS rule of the site alerts on.
 *
 * Invariants: everything goes when it is disposed of, also after a failure, and what a killed run left is removed
 * before a new one begins; it touches no other installation.
 */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { type ProcessName, processes, type Progress, purge, setup, up } from "@bulkhead/host";
import {
  API_ROUTES,
  ApplyReply,
  EventRecord,
  type InstallationLayout,
  installationLayout,
  type InstrumentStatus,
  SensorStatus,
} from "@bulkhead/schema";
import {
  buildPacketTools,
  eventually,
  makeNamespace,
  type NetworkNamespace,
  type PacketTools,
  runCommand,
  sendRawFrames,
  tryCommand,
} from "@bulkhead/testkit";
import * as z from "zod";
import { ApiClient } from "../../packages/cli/src/api-client.ts";
import { planFile, stageSite } from "../../packages/cli/src/stage-site.ts";
import { ASKED_RUNTIME, runtimeCommand } from "../runtime.ts";
import { awaitAudited, readAuditLog } from "./audit-lines.ts";
import { markFrame } from "./frames.ts";
import { ENGINE, renderSite, RULE, RULE_FILE } from "./stand-site.ts";

/** The far end of the span device, in the stand's network. */
export const FAR_END = "port0";
/** Slow machines are slow: a hang ends, slowness does not. */
const DEADLINE_MS = 120_000;
const Done = z.unknown();

export class SensorStand implements AsyncDisposable {
  readonly installation: string;
  readonly layout: InstallationLayout;
  readonly api: ApiClient;
  /** The span device's name on the host. */
  readonly device: string;
  readonly network: NetworkNamespace;
  readonly tools: PacketTools;
  /** For captures and sites; removed with the stand. */
  readonly directory: string;
  #marks = 0;

  constructor(
    parts: Pick<
      SensorStand,
      "installation" | "layout" | "api" | "device" | "network" | "tools" | "directory"
    >,
  ) {
    this.installation = parts.installation;
    this.layout = parts.layout;
    this.api = parts.api;
    this.device = parts.device;
    this.network = parts.network;
    this.tools = parts.tools;
    this.directory = parts.directory;
  }

  /** The engine's namespace, by its name. */
  get engineNamespace(): string {
    return `${this.layout.slug}-${ENGINE}`;
  }

  /** Makes the span's device on the host, its far end in the stand's network, both without addresses. */
  async plugSpan(): Promise<void> {
    const far = ["peer", "name", FAR_END, "mtu", "9216", "netns", this.network.name];
    await runCommand("ip", ["link", "add", "name", this.device, "mtu", "1500", "type", "veth", ...far]);
    await this.network.ip("link", "set", FAR_END, "addrgenmode", "none", "up");
  }

  async status(): Promise<SensorStatus> {
    return this.api.get(API_ROUTES.status.path, SensorStatus);
  }

  async instrument(name: string): Promise<InstrumentStatus> {
    const found = (await this.status()).instruments.find((each) => each.name === name);
    if (found === undefined) throw new Error(`${name} is not in the status`);
    return found;
  }

  /** Polls the status until it is as meant; a sensord that is away is waited for. */
  async until(
    what: string,
    is: (status: SensorStatus) => boolean,
    deadlineMs = DEADLINE_MS,
  ): Promise<SensorStatus> {
    let last: SensorStatus | string = "never answered";
    const found = await eventually(
      () => `${what}; last: ${JSON.stringify(last)}`,
      async () => {
        try {
          last = await this.status();
          return is(last) ? last : null;
        } catch (error) {
          last = String(error);
          return null;
        }
      },
      deadlineMs,
    );
    return found;
  }

  /** The host is as the site says and every instrument runs. */
  settled(deadlineMs = DEADLINE_MS): Promise<SensorStatus> {
    return this.until("the sensor is as its site says", (status) => status.ok, deadlineMs);
  }

  /** As renderSite, over the stand's span device or another. */
  siteText(instruments: string, rest = "", device = this.device): string {
    return renderSite(this.installation, device, instruments, rest);
  }

  /** Writes and applies a site; throws what the command line would show. */
  async apply(text: string): Promise<ApplyReply> {
    const file = await this.#writeSite(text);
    const plan = await planFile(file, this.api);
    if (plan.faults.length > 0) throw new Error(`the site has faults: ${JSON.stringify(plan.faults)}`);
    await stageSite(file, plan.files, this.layout);
    return this.api.post(API_ROUTES.apply.path, ApplyReply);
  }

  async plan(text: string): ReturnType<typeof planFile> {
    return planFile(await this.#writeSite(text), this.api);
  }

  async #writeSite(text: string): Promise<string> {
    const file = join(this.directory, "site.yaml");
    await writeFile(join(this.directory, RULE_FILE), RULE);
    await writeFile(file, text);
    return file;
  }

  async order(verb: "start" | "stop" | "restart", instrument: string): Promise<void> {
    await this.api.post(API_ROUTES[verb].path.replace("{instrument}", instrument), Done);
  }

  /** Everything that warden wrote into its audit log, oldest first. */
  auditLog(): ReturnType<typeof readAuditLog> {
    return readAuditLog(this.layout);
  }

  /** Waits for an entry behind the first `from`, whose detail matches. */
  audited(kind: string, subject: string, what: RegExp, from = 0): Promise<void> {
    return awaitAudited(this.layout, { kind, subject, what, from });
  }

  /** The runtime's client (`lxc`, `incus`) in the installation's project. */
  async client(...args: readonly string[]): Promise<string> {
    const [file, ...argv] = runtimeCommand(["--project", this.layout.slug, ...args]);
    return (await runCommand(file, argv, { timeoutMs: 60_000 })).stdout;
  }

  /** The runtime's word on an instance's `state`, `config` and so on. */
  async query(path: string, ...options: readonly string[]): Promise<unknown> {
    const separator = path.includes("?") ? "&" : "?";
    const url = `/1.0/instances/${path}${separator}project=${this.layout.slug}`;
    const [file, ...argv] = runtimeCommand(["query", ...options, url]);
    return JSON.parse((await runCommand(file, argv)).stdout || "null");
  }

  /** Host pid of the container's first process; throws where it does not run. */
  async initPid(instrument: string): Promise<number> {
    const { pid } = z.looseObject({ pid: z.int() }).parse(await this.query(`${instrument}/state`));
    if (pid > 1) return pid;
    throw new Error(`${instrument} does not run`);
  }

  /** Host pid of the newest process of an instrument whose command line matches; throws where there is none. */
  async pidInside(instrument: string, command: RegExp): Promise<number> {
    const init = await this.initPid(instrument);
    const namespace = await readlink(`/proc/${init}/ns/pid`);
    for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry)).toReversed()) {
      // Processes end at any time: one that is gone is not the one that is looked for.
      if ((await readlink(`/proc/${pid}/ns/pid`).catch(() => "")) !== namespace) continue;
      const line = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      if (command.test(line.replaceAll("\0", " "))) return Number(pid);
    }
    throw new Error(`no process ${command} in ${instrument}`);
  }

  /** Host pid of one of the platform's processes. */
  async processPid(name: ProcessName): Promise<number> {
    const found = (await processes(this.installation)).find(({ process }) => process === name);
    if (found?.pid === undefined || found.pid === null) throw new Error(`${name} does not run`);
    return found.pid;
  }

  /** How many marks were put onto the network so far. */
  get marked(): number {
    return this.#marks;
  }

  /** Puts one mark onto the protected network; returns its number, which its alert carries as the source port. */
  async mark(): Promise<number> {
    this.#marks += 1;
    const number = 1024 + this.#marks;
    const place = { tools: this.tools, namespace: this.network.name, device: FAR_END };
    await sendRawFrames({ ...place, frames: [markFrame(number)] });
    return number;
  }

  /** Every event of a type that the sensor holds, oldest first. */
  async events(type: string, instrument?: string): Promise<readonly EventRecord[]> {
    const found: EventRecord[] = [];
    const query = { type, limit: "10000", instrument };
    for await (const event of this.api.lines(API_ROUTES.events.path, EventRecord, query)) found.push(event);
    return found;
  }

  /** Numbers of all marks whose alerts of this instrument the sensor holds. */
  async alertedMarks(instrument = "ids"): Promise<ReadonlySet<number>> {
    const Alert = z.looseObject({ src_port: z.int().optional() });
    const events = await this.events("suricata.alert", instrument);
    return new Set(events.flatMap(({ data }) => Alert.parse(data).src_port ?? []));
  }

  /** Marks until one is alerted, however long the sensor takes to come back; returns it. */
  async alertFlows(instrument = "ids", deadlineMs = DEADLINE_MS): Promise<number> {
    const sent: number[] = [];
    return eventually(
      () => `an alert of one of ${sent.length} marks by ${instrument}`,
      async () => {
        sent.push(await this.mark());
        await sleep(300);
        const alerted = await this.alertedMarks(instrument).catch(() => new Set<number>());
        return sent.find((number) => alerted.has(number)) ?? null;
      },
      deadlineMs,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const outcome = await purge({ installation: this.installation }, quiet);
    await removeDevice(this.device);
    await this.network[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
    if (outcome.errors.length > 0) throw new Error(`purge: ${JSON.stringify(outcome.errors)}`);
  }
}

/** A sensor that is up, with its span plugged, and no site yet. */
export async function makeSensorStand(installation: string): Promise<SensorStand> {
  await purge({ installation }, quiet);
  const layout = installationLayout(installation);
  const id = createHash("sha256").update(installation).digest("hex").slice(0, 8);
  const device = `bhe2e${id}`;
  await using undo = new AsyncDisposableStack();
  await removeDevice(device);
  const networkName = `bhe2e-${id}-net`;
  await tryCommand("ip", ["netns", "del", networkName]);
  const network = undo.use(await makeNamespace({ name: networkName }));
  const directory = await mkdtemp(join(tmpdir(), "bhe2e-"));
  undo.defer(() => rm(directory, { recursive: true, force: true }));
  undo.defer(async () => void (await purge({ installation }, quiet)));
  await setup({ installation, runtime: ASKED_RUNTIME }, quiet);
  await up({ installation }, quiet);
  const tools = await buildPacketTools();
  const stand = new SensorStand({
    installation,
    layout,
    api: new ApiClient(layout),
    device,
    network,
    tools,
    directory,
  });
  await stand.plugSpan();
  undo.move();
  return stand;
}

export const quiet: Progress = () => undefined;

async function removeDevice(device: string): Promise<void> {
  const there = await tryCommand("ip", ["-j", "link", "show", "dev", device]);
  if (there !== undefined) await tryCommand("ip", ["link", "del", "dev", device]);
}
