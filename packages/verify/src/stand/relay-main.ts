/**
 * The relay of a proof: stands between the canary and root. Runs as the installation's unprivileged user, listens on
 * the canary's own socket, checks every line of the adversary's, and passes it on in a strict form.
 *
 * Usage: verify-relay.mjs SOCKET, --decoys, --bus or --egress with an order as JSON (--bus: its file). Orders come on stdin and answers go to stdout, one JSON line each. It ends with stdin.
 */
import { chmodSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { runBus } from "./bus.ts";
import { DecoyOrder, runDecoys } from "./decoys.ts";
import { runEgress } from "./egress.ts";
import { FromAdversary, type FromRelay, LINE_BYTES, ToAdversary } from "../protocol.ts";

function main(path: string): void {
  const say = (message: FromRelay): void => void process.stdout.write(`${JSON.stringify(message)}\n`);
  let adversary: Socket | null = null;
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    // One adversary at a time: whoever comes second is nobody that we started.
    if (adversary !== null) return void socket.destroy();
    adversary = socket;
    readLines(socket, (line) => {
      const message = line === null ? undefined : FromAdversary.safeParse(parseJson(line)).data;
      if (message !== undefined) return say(message);
      say({ type: "unreadable" });
      socket.destroy();
    });
    socket.on("error", () => undefined); // its end is what counts
    socket.on("close", () => {
      adversary = null;
      say({ type: "gone" });
    });
  });
  server.listen(path, () => {
    chmodSync(path, 0o666);
    say({ type: "listening" });
  });
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on("line", (line) => {
      const message = ToAdversary.parse(JSON.parse(line));
      adversary?.write(`${JSON.stringify(message)}\n`);
    })
    .on("close", () => process.exit(0));
}

/** Lines of bounded length; null for one that is longer, which ends the reading. */
function readLines(socket: Socket, onLine: (line: string | null) => void): void {
  let rest = "";
  socket.setEncoding("latin1").on("data", (text: string) => {
    rest += text;
    for (let end = rest.indexOf("\n"); end !== -1; end = rest.indexOf("\n")) {
      const line = rest.slice(0, end);
      rest = rest.slice(end + 1);
      onLine(line.length > LINE_BYTES ? null : Buffer.from(line, "latin1").toString("utf8"));
    }
    if (rest.length > LINE_BYTES) onLine(null);
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // it is then no message, and is said to be so
  }
}

const [, , first, second] = process.argv;
if (first === "--decoys") runDecoys(DecoyOrder.parse(JSON.parse(second ?? "")));
else if (first === "--egress") await runEgress(second ?? "");
else if (first === "--bus") await runBus(second ?? "");
else if (first !== undefined) main(first);
else throw new Error("usage: verify-relay.mjs SOCKET, --decoys ORDER, --egress ORDER or --bus FILE");
