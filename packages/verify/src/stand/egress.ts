/**
 * The stand-in for a way out: the platform's own egress proxy with a permit for the canary, before an Internet of its
 * own in a namespace that leads nowhere: a resolver and machines that count what comes.
 *
 * Invariants: no real host is asked for or reached; the permit's limits are an instrument's, its targets names that no
 * site can have (RFC 2606, section 2). It runs as the installation's unprivileged user.
 */
import { createSocket, type RemoteInfo } from "node:dgram";
import { chmodSync, rmSync, writeFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { runEgressProxy } from "@bulkhead/egress";
import { CANARY_NAME, type EgressPolicy } from "@bulkhead/schema";
import * as z from "zod";

export const EgressOrder = z.strictObject({
  /** Holds the directory that the canary sees. */
  socketsDir: z.string(),
  /** For the policy and the records' socket. */
  dir: z.string(),
  /** In its place a proxy that lets everything through. */
  withoutProxy: z.boolean(),
});
export type EgressOrder = z.infer<typeof EgressOrder>;

const RESOLVER = "93.184.215.1";
const PUBLIC = "93.184.215.14";
const PRIVATE = "10.66.0.5";
/** By name; the answers follow one another, and the last one stays. */
const ZONE: Readonly<Record<string, readonly string[]>> = {
  "granted.invalid": [PUBLIC],
  "other.invalid": [PUBLIC],
  "private.invalid": [PRIVATE],
  "metadata.invalid": ["169.254.169.254"],
  "changing.invalid": [PUBLIC, PRIVATE],
};
const TARGETS = ["granted", "private", "metadata", "changing"].map((name) => `${name}.invalid:443`);
const PORTS = [443, 8443] as const;
const LIMITS = { sentBytes: 1_000_000, receivedBytes: 1_000_000, connections: 8 };

export async function runEgress(text: string): Promise<void> {
  const order = EgressOrder.parse(JSON.parse(text));
  const counts: Record<string, number> = {};
  const took = (name: string): void => void (counts[name] = (counts[name] ?? 0) + 1);
  for (const port of PORTS)
    createServer((socket) => {
      const place = `${socket.localAddress ?? "?"}:${port}`;
      took(`reached ${place}`);
      socket.on("error", () => undefined); // counted already
      socket.on("data", () => took(`data ${place}`));
    }).listen(port, "0.0.0.0");
  answerNames();
  if (order.withoutProxy) openProxy(join(order.socketsDir, CANARY_NAME, "egress.sock"));
  else void closedProxy(order);
  createInterface({ input: process.stdin, crlfDelay: Infinity })
    .on("line", () => process.stdout.write(`${JSON.stringify(counts)}\n`))
    .on("close", () => process.exit(0));
}

async function closedProxy({ dir, socketsDir }: EgressOrder): Promise<void> {
  const recordSocket = join(dir, "record.sock");
  // What cannot be recorded is not allowed: every record is kept at once, and is nobody's.
  createServer((socket) => {
    socket.on("error", () => undefined); // the proxy comes again
    createInterface(socket)
      .on("error", () => undefined)
      .on("line", (line) => {
        const { id } = z.looseObject({ id: z.string() }).parse(JSON.parse(line));
        socket.write(`${JSON.stringify({ kept: id })}\n`);
      });
  }).listen(recordSocket);
  const policyFile = join(dir, "policy.json");
  const policy = {
    dns: [RESOLVER],
    private: [],
    proxy: null,
    permits: [{ instrument: CANARY_NAME, targets: TARGETS, ...LIMITS }],
  };
  writeFileSync(policyFile, JSON.stringify(policy satisfies Record<keyof EgressPolicy, unknown>));
  await runEgressProxy(
    { policyFile, socketsDir, recordSocket, log: () => undefined },
    new AbortController().signal,
  );
}

/** The control: CONNECT to wherever is asked, as a proxy that nobody restricted. */
function openProxy(path: string): void {
  rmSync(path, { force: true });
  createServer((client) => {
    client.on("error", () => client.destroy());
    client.once("data", (head: Buffer) => {
      const [, host = "", port = ""] = /^CONNECT ([^ :]+):(\d+)/.exec(head.toString("latin1")) ?? [];
      const address = ZONE[host] === undefined ? host : nextAddress(host);
      const far = createConnection({ host: address, port: Number(port) });
      far.on("error", () => client.destroy());
      far.on("connect", () => {
        client.write("HTTP/1.1 200 OK\r\n\r\n");
        client.pipe(far);
        far.pipe(client);
      });
    });
  }).listen(path, () => chmodSync(path, 0o666));
}

const asked = new Map<string, number>();
function nextAddress(name: string): string | undefined {
  const answers = ZONE[name] ?? [];
  const times = asked.get(name) ?? 0;
  asked.set(name, times + 1);
  return answers[Math.min(times, answers.length - 1)];
}

/** Answers A questions of the zone (RFC 1035, section 4), and to all others that there is none. */
function answerNames(): void {
  const socket = createSocket("udp4");
  socket.on("message", (question: Buffer, from: RemoteInfo) => {
    const name = nameIn(question);
    const end = 12 + name.length + 2 + 4;
    const isA = question.readUInt16BE(end - 4) === 1;
    const address = isA ? nextAddress(name) : undefined;
    const head = Buffer.from(question.subarray(0, end));
    // A response, recursion available; one question, and one answer where there is any.
    head.writeUInt16BE(0x8180, 2);
    head.writeUInt16BE(address === undefined ? 0 : 1, 6);
    head.writeUInt16BE(0, 8);
    head.writeUInt16BE(0, 10);
    const answer =
      address === undefined
        ? []
        : [
            Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]),
            Buffer.from(address.split(".").map(Number)),
          ];
    socket.send(Buffer.concat([head, ...answer]), from.port, from.address);
  });
  socket.bind(53, RESOLVER);
}

function nameIn(question: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; at < question.length && question.readUInt8(at) > 0;) {
    const length = question.readUInt8(at);
    labels.push(question.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return labels.join(".");
}
