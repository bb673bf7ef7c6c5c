/** UDP in a namespace: a listener that answers `here` to whoever asks, and a question from a port of choice. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { runCommand } from "@bulkhead/testkit";
import { asInstrument } from "./network-stand.ts";

const LISTENER = `
const { createSocket } = require("node:dgram");
const ports = process.argv.slice(1).map(Number);
let left = ports.length;
for (const port of ports) {
  const socket = createSocket("udp6"); socket.on("error", () => undefined);
  socket.on("message", (_, { address, port }) => socket.send("here", port, address, () => undefined));
  socket.bind(port, "::", () => { if (--left === 0) console.log("listening"); });
}
`;
const ASK = `
const { createSocket } = require("node:dgram");
const [host, port, from] = process.argv.slice(1);
const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
const say = (text) => { console.log(text); process.exit(); };
socket.on("message", (data) => say("open " + data)); socket.on("error", (error) => say(error.code));
socket.bind(Number(from), () => socket.send("?", Number(port), host, () => undefined));
setTimeout(() => say("silent"), 1000);
`;

export async function listenUdp(namespace: string, ports: readonly number[]): Promise<AsyncDisposable> {
  const argv = [process.execPath, "-e", LISTENER, ...ports.map(String)];
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

/**
 * `open here`, or `silent`.
 * @param from the port that it is asked from; any, where it is 0
 */
export async function askUdp(namespace: string, host: string, port: number, from = 0): Promise<string> {
  const argv = [process.execPath, "-e", ASK, host, String(port), String(from)];
  return (await runCommand("nsenter", asInstrument(namespace, argv))).stdout.trim();
}
