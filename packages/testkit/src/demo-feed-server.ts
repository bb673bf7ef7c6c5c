/**
 * The feed's server: HTTPS, the files of one directory by their names, with entity tags.
 *
 * Invariants: a request names a file of the directory's own listing or gets 404, so no path is ever made of what was
 * asked for; a file is read whole for each answer, so that one that is replaced by a rename is served old or new.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { DemoCertificate } from "./demo-certificate.ts";

/** Serves until the process ends; returns once it listens. */
export async function serveFeed(
  certificate: DemoCertificate,
  directory: string,
  port = 443,
): Promise<Server> {
  const server = createServer({ key: certificate.key, cert: certificate.cert }, (request, response) => {
    answer(request, response, directory).catch((error: unknown) => {
      process.stderr.write(`${JSON.stringify({ event: "feed-failed", message: String(error) })}\n`);
      response.destroy();
    });
  });
  server.listen({ port, host: "::", ipv6Only: false });
  await once(server, "listening");
  return server;
}

async function answer(request: IncomingMessage, response: ServerResponse, directory: string): Promise<void> {
  request.resume();
  const asked = (request.url ?? "").split("?", 1)[0]?.slice(1) ?? "";
  const name = (await readdir(directory)).find((each) => each === asked);
  if (name === undefined) {
    response.writeHead(404, { "content-type": "text/plain" }).end("no such file\n");
    return;
  }
  const content = await readFile(join(directory, name));
  const etag = `"${createHash("sha256").update(content).digest("hex").slice(0, 32)}"`;
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304, { etag }).end();
    return;
  }
  response.writeHead(200, { "content-type": "text/plain", "content-length": content.length, etag });
  response.end(request.method === "HEAD" ? undefined : content);
}
