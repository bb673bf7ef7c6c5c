/**
 * Noise: a process in a namespace that never stops trying, by TCP and UDP, to reach hosts where it may not. It makes a
 * capture a witness: whatever lets something through for a moment shows.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { asInstrument } from "./network-stand.ts";

/** UDP port that noise is sent to. */
export const NOISE_UDP_PORT = 9999;

const NOISE = `
const { connect } = require("node:net"); const { createSocket } = require("node:dgram");
const [udpPort, ports, ...hosts] = process.argv.slice(1);
for (const host of hosts) {
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4"); socket.on("error", () => undefined);
  setInterval(() => socket.send("x", Number(udpPort), host, () => undefined), 10);
}
setInterval(() => { for (const host of hosts) for (const port of ports.split(",")) {
  const s = connect({ host, port: Number(port) }); s.on("error", () => undefined); setTimeout(() => s.destroy(), 200);
} }, 50);
console.log("noisy");
`;

/** @param ports of TCP, knocked at twenty times a second */
export async function makeNoise(
  namespace: string,
  hosts: readonly string[],
  ports: readonly number[],
): Promise<AsyncDisposable> {
  const argv = [process.execPath, "-e", NOISE, String(NOISE_UDP_PORT), ports.join(","), ...hosts];
  const child = spawn("nsenter", asInstrument(namespace, argv), { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "exit");
  await once(child.stdout, "data");
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}
