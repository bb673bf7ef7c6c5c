/**
 * The packet tools in typed form: send and count test frames at line rate, send and record raw frames exactly.
 *
 * Invariants: a receiver listens before it is returned and reports once; devices are named, never guessed, and every
 * figure comes from the tool's own JSON. What they do on the wire is in c/*.c.
 */
import { runCommand } from "./command.ts";
import { type ListenerProcess, inNamespace, startListener } from "./listener-process.ts";
import type { PacketTools } from "./packet-build.ts";

/** Where a tool works: the host's own namespace if none is given. */
export interface PacketPlace {
  readonly tools: PacketTools;
  readonly namespace?: string;
}

export interface SendOptions extends PacketPlace {
  readonly device: string;
  /** Bytes of a frame without checksum, 60 to 9216, or the simple IMIX 7:4:1 of 60, 590 and 1514. */
  readonly size: number | "imix";
  /** One of both is needed. */
  readonly count?: number;
  readonly seconds?: number;
  /** Frames a second; as fast as possible if absent. */
  readonly rate?: number;
  /** First sequence number. */
  readonly first?: number;
  readonly flows?: number;
  readonly sourceMac?: string;
  readonly targetMac?: string;
  readonly bypassQdisc?: boolean;
  readonly signal?: AbortSignal;
}

/** `refused` counts turns in which the interface took nothing; those frames were tried again. */
export interface SendReport {
  readonly sent: number;
  readonly bytes: number;
  readonly seconds: number;
  readonly pps: number;
  readonly first: number;
  readonly refused: number;
}

export interface ReceiveOptions extends PacketPlace {
  readonly devices: readonly string[];
  readonly seconds?: number;
  /** Ends once each device had so many. */
  readonly count?: number;
  /** Ends so long after the last frame. */
  readonly idleMs?: number;
  /** How many were sent from sequence 0 on: then `lost` counts those at the end too. */
  readonly expect?: number;
  readonly ringMib?: number;
}

/**
 * What one device received. `foreign` are frames that are no test frames; `drops` is what the kernel dropped for want
 * of room in the receiver's ring; `lost` is what is missing among the sequence numbers, those drops included.
 */
export interface ReceiveReport {
  readonly interface: string;
  readonly received: number;
  readonly bytes: number;
  readonly unique: number;
  readonly foreign: number;
  readonly outOfOrder: number;
  readonly duplicates: number;
  readonly lost: number;
  readonly drops: number;
  readonly firstSequence: number;
  readonly lastSequence: number;
  readonly seconds: number;
  /** From the sender's mark to the kernel's receive time; to 6 %. */
  readonly latencyNs: { readonly p50: number; readonly p99: number; readonly max: number };
}

/** A receiver that runs; `ended` settles when its own end condition is met. */
export interface Receiver<Report> extends AsyncDisposable {
  /** Its process: a test may stop and continue it to make a slow reader. */
  readonly pid: number;
  readonly ended: Promise<Report>;
  stop(): Promise<Report>;
}

/** Sends test frames; @throws as runCommand. */
export async function sendFrames(options: SendOptions): Promise<SendReport> {
  const argv = inNamespace(options.namespace, [
    ...([options.tools.send, "--interface", options.device, "--size", String(options.size)] as const),
    ...flag("--count", options.count),
    ...flag("--seconds", options.seconds),
    ...flag("--rate", options.rate),
    ...flag("--first", options.first),
    ...flag("--flows", options.flows),
    ...flag("--source", options.sourceMac),
    ...flag("--target", options.targetMac),
    ...(options.bypassQdisc === true ? ["--qdisc-bypass"] : []),
  ]);
  const [file, ...args] = argv;
  const { stdout } = await runCommand(file, args, {
    timeoutMs: 600_000,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  // send.c prints exactly this shape.
  return JSON.parse(stdout) as SendReport;
}

/** Starts counting test frames; the reports stand in the order of `devices`. */
export async function startReceiver(options: ReceiveOptions): Promise<Receiver<readonly ReceiveReport[]>> {
  const listener = await startTool(options, [
    ...([options.tools.recv, "--interfaces", options.devices.join(",")] as const),
    ...flag("--seconds", options.seconds),
    ...flag("--count", options.count),
    ...flag("--idle", options.idleMs),
    ...flag("--expect", options.expect),
    ...flag("--ring-mib", options.ringMib),
  ]);
  // recv.c prints exactly this shape.
  return receiver(
    listener,
    (stdout) => (JSON.parse(stdout) as { readonly interfaces: readonly ReceiveReport[] }).interfaces,
  );
}

/**
 * Sends raw frames as they are, each a string of hex from the destination address on, without a checksum.
 * @throws TestkitError `testkit-command-failed` if the kernel refuses one; those before it are sent.
 */
export async function sendRawFrames(
  options: PacketPlace & { readonly device: string; readonly frames: readonly string[] },
): Promise<void> {
  const [file, ...args] = inNamespace(options.namespace, [
    options.tools.frames,
    "send",
    "--interface",
    options.device,
  ]);
  await runCommand(file, args, { input: `${options.frames.join("\n")}\n` });
}

/** Starts recording raw frames as hex, VLAN tags included. */
export async function startRawReceiver(
  options: PacketPlace & {
    readonly device: string;
    readonly count?: number;
    readonly seconds?: number;
    readonly idleMs?: number;
  },
): Promise<Receiver<readonly string[]>> {
  const listener = await startTool(options, [
    ...([options.tools.frames, "receive", "--interface", options.device] as const),
    ...flag("--count", options.count),
    ...flag("--seconds", options.seconds),
    ...flag("--idle", options.idleMs),
  ]);
  return receiver(listener, (stdout) => stdout.split("\n").filter((line) => line !== ""));
}

function startTool(place: PacketPlace, argv: readonly [string, ...string[]]): Promise<ListenerProcess> {
  return startListener({
    argv,
    ...(place.namespace === undefined ? {} : { namespace: place.namespace }),
    isReady: (line) => line === "ready",
    stopSignal: "SIGTERM",
  });
}

function receiver<Report>(listener: ListenerProcess, parse: (stdout: string) => Report): Receiver<Report> {
  const ended = listener.ended.then(({ stdout }) => parse(stdout));
  // Seen by whoever awaits `ended` or `stop`; a test that does neither must not die of it.
  ended.catch(() => undefined);
  return {
    pid: listener.pid,
    ended,
    stop: async () => {
      await listener.stop();
      return ended;
    },
    [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose](),
  };
}

function flag(name: string, value: number | string | undefined): readonly string[] {
  return value === undefined ? [] : [name, String(value)];
}
