/**
 * Decoys: listen in the stand-in namespace where the host's, a cloud's and other instruments' services would, and
 * count what comes. They answer nothing.
 */
import { createSocket } from "node:dgram";
import { createServer } from "node:net";
import { createInterface } from "node:readline";

export function runDecoys(port: number): void {
  const counts: Record<string, number> = {};
  const took = (name: string): void => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  createServer((socket) => {
    took(`tcp ${socket.localAddress ?? "?"}`);
    socket.on("error", () => undefined); // counted already
    socket.resume();
  }).listen(port, "0.0.0.0");
  const datagrams = createSocket("udp4");
  datagrams.on("message", () => took("udp"));
  datagrams.bind(port, "0.0.0.0");
  createServer((socket) => {
    took("unix");
    socket.on("error", () => undefined); // counted already
    socket.resume();
  }).listen("\0bulkhead-verify");
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on("line", () => process.stdout.write(`${JSON.stringify(counts)}\n`))
    .on("close", () => process.exit(0));
}
