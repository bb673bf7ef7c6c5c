/** Knocks at a port from a machine of a segment, as anybody there might: one word, and what comes back. */
import { setTimeout as sleep } from "node:timers/promises";
import type { NetworkNamespace } from "@bulkhead/testkit";

/** Longer than any lease of rules or start of a container takes on busy cores. */
const DEADLINE_MS = 60_000;
const KNOCK = `
const { connect } = require("node:net");
const socket = connect({ host: process.argv[1], port: Number(process.argv[2]) }, () => socket.end("knock"));
socket.setTimeout(2000, () => { console.log("silent"); process.exit(); });
socket.on("data", (data) => { console.log(String(data)); process.exit(); });
socket.on("error", (error) => { console.log(error.code); process.exit(); });
`;

/** `knock` from an echo; `silent` where nothing comes back within two seconds; or an error's code. */
export async function knock(from: NetworkNamespace, host: string, port: number): Promise<string> {
  return (await from.run(process.execPath, ["-e", KNOCK, host, String(port)])).stdout.trim();
}

/** Waits for the echo; whatever comes in between is not taken for one. */
export async function answers(from: NetworkNamespace, host: string, port: number): Promise<void> {
  const deadlineMs = performance.now() + DEADLINE_MS;
  while ((await knock(from, host, port)) !== "knock") {
    if (performance.now() > deadlineMs) throw new Error(`no answer from ${host} port ${port}`);
    await sleep(200);
  }
}
