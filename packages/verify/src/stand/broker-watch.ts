/**
 * What passes between the canary's side and the stand-in broker, counted where the canary cannot lie: connections, what
 * the broker handed out of what only the victim's side says, and answers of its store's.
 */
import { once } from "node:events";
import { createConnection, createServer } from "node:net";

/** @returns the port to connect to in the broker's place */
export async function watchBroker(port: number, counts: Record<string, number>): Promise<number> {
  const took = (name: string, times = 1): void => void (counts[name] = (counts[name] ?? 0) + times);
  const server = createServer((client) => {
    const broker = createConnection({ host: "127.0.0.1", port });
    const drop = (): void => {
      client.destroy();
      broker.destroy();
    };
    for (const side of [client, broker]) side.on("error", drop).on("close", drop);
    took("connections");
    let connects = 0;
    client.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      connects += text.split(/^CONNECT /m).length - 1;
      if (connects > 1) took("second CONNECT");
      if (text.includes("a".repeat(8 * 1024))) took("long line");
    });
    broker.on("data", (chunk: Buffer) => {
      const text = chunk.toString("latin1");
      took("heard", text.split("victim-says-").length - 1);
      if (text.includes("io.nats.jetstream.api") && !text.includes('"error"')) took("answered");
    });
    client.pipe(broker);
    broker.pipe(client);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : 0;
}
