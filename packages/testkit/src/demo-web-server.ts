/**
 * The demo's web server: a few pages over HTTP (80) and TLS (443), and a server that greets as SSH does (22).
 *
 * Invariants: nothing of a request is ever interpreted, run or looked up in a file; an attack gets the same pages as
 * everybody. It listens on every address of its own namespace, so it must never be started outside of one.
 */
import { once } from "node:events";
import { type RequestListener, type Server as HttpServer, createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type Server, type Socket, createServer as createTcpServer } from "node:net";
import type { DemoCertificate } from "./demo-certificate.ts";

const PAGES: Readonly<Record<string, string>> = {
  "/": page("Corp", "Welcome to Corp."),
  "/about": page("About", "We make bulkheads for ships."),
  "/products": page("Products", "Doors, hatches, seals."),
  "/news": page("News", "A new hatch is out."),
  "/login": page("Sign in", "<form method=post><input name=user><input name=password type=password></form>"),
  "/api/status": JSON.stringify({ status: "ok" }),
  "/downloads/catalogue.txt": "Bulkhead door, watertight, steel, 800 x 1800 mm\n".repeat(400),
};

/** Serves until the process ends; returns once all listen. */
export async function serveWeb(certificate: DemoCertificate): Promise<void> {
  const http: HttpServer = createServer(respond);
  const tls = createTlsServer({ key: certificate.key, cert: certificate.cert }, respond);
  const ssh = createTcpServer(greet);
  const listeners: readonly (readonly [Server, number])[] = [
    [http, 80],
    [tls, 443],
    [ssh, 22],
  ];
  for (const [server, port] of listeners) {
    server.listen({ port, host: "::", ipv6Only: false });
    await once(server, "listening");
  }
}

const respond: RequestListener = (request, response) => {
  const path = (request.url ?? "/").split("?", 1)[0] ?? "/";
  const body = PAGES[path];
  request.resume();
  response.setHeader("server", "corp-web/1.0");
  if (body === undefined) {
    response.writeHead(404, { "content-type": "text/html" }).end(page("Not found", "No such page."));
    return;
  }
  const type = path.startsWith("/api/")
    ? "application/json"
    : path.endsWith(".txt")
      ? "text/plain"
      : "text/html";
  response.writeHead(200, { "content-type": type }).end(body);
};

/** RFC 4253 section 4.2: both sides send their version line; this server goes no further. */
function greet(socket: Socket): void {
  socket.on("error", () => socket.destroy());
  socket.setTimeout(5_000, () => socket.destroy());
  socket.write("SSH-2.0-OpenSSH_9.2p1\r\n");
  socket.once("data", () => socket.end());
}

function page(title: string, body: string): string {
  return `<!doctype html><html lang=en><title>${title}</title><h1>${title}</h1><p>${body}</p></html>\n`;
}
