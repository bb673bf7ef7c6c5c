/**
 * Captures with tcpdump, to a pcap file, for as long as a scope lasts.
 *
 * Invariants: it listens before it returns, each packet is written as it comes, and stopping it waits until the file
 * is complete. It is for tests and not for rates: the packet tools count at line rate.
 */
import { stat } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { startListener } from "./listener-process.ts";

export interface CaptureOptions {
  /** Namespace of the device; the host's own if absent. */
  readonly namespace?: string;
  readonly device: string;
  /** Where the pcap goes; the name must end in `.pcap` (AppArmor lets tcpdump write nothing else). */
  readonly file: string;
  /** A tcpdump expression, as arguments. */
  readonly filter?: readonly string[];
  /** Which way, as seen from the device: `in` leaves out what the device itself sends. */
  readonly direction?: "in" | "out" | "inout";
}

export interface Capture extends AsyncDisposable {
  readonly file: string;
  /** Ends the capture; returns the number of packets in the file as tcpdump says. */
  stop(): Promise<number>;
}

const SETTLE_MS = 150;
const SETTLE_LIMIT_MS = 5_000;

/**
 * Starts a capture and returns once tcpdump listens.
 * @throws TestkitError `testkit-tool-failed` if tcpdump cannot listen.
 */
export async function capture(options: CaptureOptions): Promise<Capture> {
  const reading = ["--immediate-mode", "-n", "-s", "0", "-B", "16384", "-Q", options.direction ?? "inout"];
  const writing = ["-U", "-Z", "root", "-w", options.file];
  const tcpdump = await startListener({
    argv: ["tcpdump", "-i", options.device, ...reading, ...writing, ...(options.filter ?? [])],
    ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
    isReady: (line) => line.includes("listening on"),
    stopSignal: "SIGINT",
  });
  return {
    file: options.file,
    stop: async () => {
      await settle(options.file);
      const { stderrLines } = await tcpdump.stop();
      const captured = stderrLines.map((line) => /^(\d+) packets? captured/.exec(line)?.[1]);
      return Number(captured.find((count) => count !== undefined) ?? 0);
    },
    [Symbol.asyncDispose]: () => tcpdump[Symbol.asyncDispose](),
  };
}

/** tcpdump drops what it has not read yet when it is told to end: wait until the file no longer grows. */
async function settle(file: string): Promise<void> {
  const deadlineMs = performance.now() + SETTLE_LIMIT_MS;
  let beforeBytes = -1;
  let sizeBytes = (await stat(file)).size;
  while (sizeBytes !== beforeBytes && performance.now() < deadlineMs) {
    await sleep(SETTLE_MS);
    beforeBytes = sizeBytes;
    sizeBytes = (await stat(file)).size;
  }
}
