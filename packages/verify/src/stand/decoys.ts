/**
 * Decoys: listen in the stand-in namespace where the host's, a cloud's and other instruments' services would, and
 * count what comes. They answer nothing. Where an address is given they also knock at a port of it all the time, as a
 * machine of the segment would.
 */
import { createSocket } from "node:dgram";
import { createConnection, createServer } from "node:net";
import { createInterface } from "node:readline";
import * as z from "zod";

export const DecoyOrder = z.strictObject({
  /** Of TCP and UDP. */
  port: z.int(),
  /** Listens to the machine's own loopback alone, beside what else the namespace holds. */
  loopback: z.boolean(),
  /** To knock at. */
  knockAt: z.strictObject({ host: z.string(), port: z.int() }).optional(),
});
export type DecoyOrder = z.infer<typeof DecoyOrder>;

const KNOCK_EVERY_MS = 150;

export function runDecoys({ port, loopback, knockAt }: DecoyOrder): void {
  const counts: Record<string, number> = {};
  const took = (name: string): void => {
    counts[name] = (counts[name] ?? 0) + 1;
  };
  createServer((socket) => {
    took(`tcp ${(socket.localAddress ?? "?").replace(/^::ffff:/, "")}`);
    socket.on("error", () => undefined); // counted already
    socket.resume();
  }).listen(port, loopback ? "127.0.0.1" : "::");
  // A namespace of the stand's may have no IPv6: there is one socket for each family, and the first has to be there.
  for (const family of loopback ? [] : (["udp4", "udp6"] as const)) {
    const datagrams = createSocket({ type: family, ipv6Only: family === "udp6" });
    datagrams.on("message", () => took("udp"));
    datagrams.bind(port);
  }
  if (knockAt !== undefined)
    setInterval(() => {
      const socket = createConnection({ ...knockAt, timeout: 400 });
      socket.once("connect", () => took("knock answered"));
      for (const end of ["error", "timeout", "connect"] as const) socket.once(end, () => socket.destroy());
    }, KNOCK_EVERY_MS);
  createServer((socket) => {
    took("unix");
    socket.on("error", () => undefined); // counted already
    socket.resume();
  }).listen(loopback ? `\0bulkhead-verify-${port}` : "\0bulkhead-verify");
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on("line", () => process.stdout.write(`${JSON.stringify(counts)}\n`))
    .on("close", () => process.exit(0));
}
