/**
 * The outside, for tests of the egress proxy: a DNS server whose answers are told to it, TLS, HTTP and raw TCP servers,
 * and an HTTP proxy. Runs in a network namespace; says on stdout, as JSON lines, who came to which address.
 *
 * Argument: JSON of `OutsideOrder`.
 */
import { createSocket } from "node:dgram";
import { createServer as createHttp } from "node:http";
import { connect, createServer as createTcp, type Server } from "node:net";
import { createServer as createTls } from "node:tls";
import { once } from "node:events";
import { AUTHORITATIVE_ANSWER, type Answer, decode, encode } from "dns-packet";

export interface OutsideOrder {
  /** For each name and type, answers by turn; the last one stays. */
  readonly zone: Readonly<Record<string, readonly (readonly OutsideAnswer[])[]>>;
  readonly key: string;
  readonly certificate: string;
}
export interface OutsideAnswer {
  readonly type: "A" | "AAAA" | "CNAME";
  readonly name: string;
  readonly data: string;
}
/** One line of stdout. */
export interface OutsideEvent {
  readonly what: "ready" | "dns" | "tls" | "http" | "raw" | "proxy";
  readonly name: string;
  readonly port: number;
}

const NXDOMAIN = 3;

function say(event: OutsideEvent): void {
  process.stdout.write(`${JSON.stringify(event)}\n`);
}

async function main(): Promise<void> {
  // The caller is the test beside this file.
  const order = JSON.parse(process.argv[2] ?? "") as OutsideOrder;
  await serveDns(order.zone);
  for (const port of [443, 8443]) {
    const tls = createTls({ key: order.key, cert: order.certificate, minVersion: "TLSv1.2" }, (socket) => {
      socket.on("error", () => socket.destroy());
      const where = socket.localAddress ?? "";
      socket.on("data", (chunk) => {
        const text = chunk.toString("latin1");
        if (text.startsWith("BIG")) socket.write(Buffer.alloc(4 * 1024 * 1024, "x"));
        else if (text.startsWith("GET ")) socket.end(`HTTP/1.1 200 OK\r\n\r\nsecure ${text.split(" ")[1]}`);
        else socket.write(`from ${where}: ${text}`);
      });
    });
    tls.on("tlsClientError", () => undefined);
    tls.on("connection", (socket) => say({ what: "tls", name: socket.localAddress ?? "", port }));
    await listening(tls, port);
  }
  const http = createHttp((request, response) => {
    if (request.url === "/redirect") {
      response.writeHead(302, { location: "http://other.example.net/secret" }).end();
    } else if (request.url === "/echo") {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ url: request.url, method: request.method, headers: request.rawHeaders }));
    } else response.end(`plain ${request.url}`);
  });
  http.on("connection", (socket) => say({ what: "http", name: socket.localAddress ?? "", port: 80 }));
  await listening(http, 80);
  const raw = createTcp((socket) => {
    say({ what: "raw", name: socket.localAddress ?? "", port: 22 });
    socket.on("error", () => socket.destroy());
    socket.write("SSH-2.0-test\r\n");
  });
  await listening(raw, 22);
  await listening(upstream(), 3128);
  say({ what: "ready", name: "", port: 0 });
}

/** An HTTP proxy that knows `upstream-only.example.net` and nothing else. */
function upstream(): Server {
  const server = createHttp();
  server.on("connect", (request, client) => {
    say({ what: "proxy", name: request.url ?? "", port: 3128 });
    if (request.url !== "upstream-only.example.net:443") {
      client.end("HTTP/1.1 403 Forbidden\r\n\r\n");
      return;
    }
    const target = connect({ host: "127.0.0.1", port: 443 }, () => {
      client.write("HTTP/1.1 200 OK\r\n\r\n");
      client.pipe(target).pipe(client);
    });
    for (const side of [client, target]) side.on("error", () => side.destroy());
  });
  return server;
}

async function listening(server: Server, port: number): Promise<void> {
  server.listen(port, "::");
  await once(server, "listening");
}

async function serveDns(zone: OutsideOrder["zone"]): Promise<void> {
  const turns = new Map<string, number>();
  const socket = createSocket({ type: "udp6" });
  socket.on("message", (message, from) => {
    const query = decode(message);
    const question = query.questions?.[0];
    if (question === undefined) return;
    const key = `${question.name.toLowerCase()} ${question.type}`;
    say({ what: "dns", name: key, port: 53 });
    const answers = zone[key];
    const turn = turns.get(key) ?? 0;
    turns.set(key, turn + 1);
    const chosen: readonly Answer[] = (answers?.[Math.min(turn, answers.length - 1)] ?? []).map((a) => ({
      ...a,
      ttl: 0,
    }));
    const known = Object.keys(zone).some((each) => each.startsWith(`${question.name.toLowerCase()} `));
    const response = encode({
      type: "response",
      id: query.id ?? 0,
      flags: AUTHORITATIVE_ANSWER | (known ? 0 : NXDOMAIN),
      questions: [question],
      answers: [...chosen],
    });
    socket.send(response, from.port, from.address);
  });
  socket.bind(53, "::");
  await once(socket, "listening");
}

await main();
