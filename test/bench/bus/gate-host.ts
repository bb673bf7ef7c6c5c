/**
 * The process that holds the gates, as sensord does, and a broker for it; says where they are, and ends with its parent.
 *
 * `lifted`: without budgets, so that the gate's own work is what is measured.
 */
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { eventually } from "@bulkhead/testkit";
import { BusGate } from "../../../packages/sensord/src/bus/gate.ts";
import { GateCounts } from "../../../packages/sensord/src/bus/gate-counts.ts";
import { NO_SERVICES } from "../../../packages/sensord/src/bus/instrument-services.ts";
import { DEFAULT_BUS_LIMITS, type GateLimits } from "../../../packages/sensord/src/bus/limits.ts";
import { MessageBook } from "../../../packages/sensord/src/bus/message-book.ts";
import { SILENT } from "../../../packages/sensord/src/log.ts";
import { findNatsServer, freePort, TestBroker } from "../../../packages/testkit/src/broker.ts";
import { subjectOf } from "./raw-client.ts";

export interface Gates {
  readonly port: number;
  readonly brokerPid: number;
  /** The gates' sockets, by the instrument's number. */
  readonly paths: readonly string[];
}

/** User names are passwords, too: the broker lives as long as the measurement, on loopback. */
export const userOf = (instrument: number): string => `instrument-${instrument}`;
export const SINK = "sink";
const LIFTED: GateLimits = {
  ...DEFAULT_BUS_LIMITS.gate,
  messagesPerSecond: 1e9,
  messageBurst: 1e9,
  bytesPerSecond: 1e12,
  byteBurst: 1e12,
  busyMsPerSecond: 1e9,
  busyBurstMs: 1e9,
};

if (import.meta.main) {
  const [count = "1", limits = "default"] = process.argv.slice(2);
  await serve(Number(count), limits === "lifted" ? LIFTED : DEFAULT_BUS_LIMITS.gate);
}

async function serve(count: number, limits: GateLimits): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-bench-bus-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const [port, natsServer] = [await freePort(), await findNatsServer()];
  const numbers = Array.from({ length: count }, (_, index) => index);
  const users = [...numbers.map(userOf), SINK].map((user) => ({ user, password: user }));
  const configFile = join(dir, "nats.conf");
  const config = { listen: `127.0.0.1:${port}`, max_pending: 256 * 1024 * 1024, authorization: { users } };
  await writeFile(configFile, JSON.stringify(config));
  const broker = stack.use(await TestBroker.start({ natsServer, configFile, port }));
  const book = new MessageBook({
    tell: () => undefined,
    onRecord: () => undefined,
    nowMs: () => performance.now(),
  });
  const paths: string[] = [];
  for (const number of numbers) {
    const name = userOf(number);
    const socketPath = join(dir, name, "bus.sock");
    await mkdir(dirname(socketPath));
    const gate = stack.use(
      new BusGate({
        instrument: name,
        socketPath,
        brokerPort: port,
        user: {
          name,
          publish: [subjectOf(number)],
          subscribe: [],
          responses: { max: 1, expires: "1s" },
        },
        credentials: { user: name, password: name },
        limits,
        counts: new GateCounts(),
        book,
        deliveries: NO_SERVICES.deliveries,
        log: SILENT,
      }),
    );
    await eventually("the gate", () => gate.listening);
    paths.push(socketPath);
  }
  if (broker.pid === undefined) throw new Error("the broker has ended");
  const gates: Gates = { port, brokerPid: broker.pid, paths };
  console.log(JSON.stringify(gates));
  await once(process.stdin.resume(), "end");
}
