/**
 * Traffic for Suricata's tests, run inside a namespace: `serve`, or as the client
 * `http PATH COUNT`, `dns NAME COUNT`, `burst PACKETS`.
 */
import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { serveDns } from "../../../packages/testkit/src/demo-dns-server.ts";

const SERVER = "10.77.0.2";
const BURST_PORT = 9_999;

const [what, first = "", second = "1"] = process.argv.slice(2);
switch (what) {
  case "serve":
    await serve();
    break;
  case "http":
    for (let n = 0; n < Number(second); n += 1) await get(first);
    break;
  case "dns":
    await resolveAll(first, Number(second));
    break;
  case "burst":
    await burst(Number(first));
    break;
  default:
    throw new TypeError(`unknown traffic: ${what}`);
}

async function serve(): Promise<void> {
  await serveDns(53);
  const sink = createSocket("udp4").bind(BURST_PORT);
  await once(sink, "listening");
  const server = createServer((_request, response) => response.end("hello")).listen(80, SERVER);
  await once(server, "listening");
  process.stdout.write("listening\n");
}

async function get(path: string): Promise<void> {
  const sent = request({ host: SERVER, port: 80, path, agent: false }).end();
  const [response] = await once(sent, "response");
  response.resume();
  await once(response, "end");
}

/** `host-N.corp.example` for each N below `count`, or one name over and over. */
async function resolveAll(name: string, count: number): Promise<void> {
  const resolver = new Resolver({ timeout: 5_000, tries: 3 });
  resolver.setServers([SERVER]);
  for (let n = 0; n < count; n += 1) await resolver.resolve4(name.replace("N", String(n)));
}

async function burst(packets: number): Promise<void> {
  const socket = createSocket("udp4");
  const payload = Buffer.alloc(400, 0x61);
  for (let n = 0; n < packets; n += 1) {
    socket.send(payload, BURST_PORT, SERVER);
    if (n % 200 === 199) await delay(5);
  }
  await delay(100);
  socket.close();
}
