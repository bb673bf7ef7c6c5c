/**
 * A stand for the downloader: a real HTTPS server whose answers a test writes, a relay in the place of the platform's
 * proxy that leads every host to it, and a taker of what is handed over.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer as createRelay, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import { type AddressInfo, connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Downloader, type DownloaderParts, Settings } from "@bulkhead/instrument-downloader";
import { requestThroughEgress } from "@bulkhead/sdk";
import { type DemoCertificate, eventually, makeDemoCertificate } from "@bulkhead/testkit";
import type * as z from "zod";

export const HOST = "feed.example.net";
export const FEED = `https://${HOST}/feed`;
export const AS = { type: "ruleset.feed", name: "feed" } as const;
type SourceSettings = Exclude<z.input<typeof Settings>["sources"], undefined>[number];

export interface Delivered {
  readonly name: string;
  readonly text: string;
}
export type Handler = (request: IncomingMessage, response: ServerResponse) => void;

export class DownloaderStand implements AsyncDisposable {
  readonly dir: string;
  readonly certificate: DemoCertificate;
  /** By path; what is not there is answered with 404. */
  readonly answers = new Map<string, Handler>();
  readonly requests: {
    readonly host: string;
    readonly path: string;
    readonly headers: IncomingMessage["headers"];
  }[] = [];
  readonly delivered: Delivered[] = [];
  /** What the platform answers to a delivery in place of taking it. */
  deliveryFault: string | null = null;
  readonly #server: Server;
  readonly #relaySocket: string;
  readonly #owned: AsyncDisposableStack;
  #downloader: Downloader | null = null;

  private constructor(
    dir: string,
    certificate: DemoCertificate,
    server: Server,
    relaySocket: string,
    owned: AsyncDisposableStack,
  ) {
    this.dir = dir;
    this.certificate = certificate;
    this.#server = server;
    this.#relaySocket = relaySocket;
    this.#owned = owned;
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const { url: path = "", headers } = request;
      this.requests.push({ host: headers.host ?? "", path, headers });
      const answer = this.answers.get(path);
      if (answer === undefined) response.writeHead(404).end("none");
      else answer(request, response);
    });
  }

  static async make(): Promise<DownloaderStand> {
    await using stack = new AsyncDisposableStack();
    const dir = await mkdtemp(join(tmpdir(), "bulkhead-downloader-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    const certificate = await makeDemoCertificate(["*.example.net"]);
    const server = createServer({ key: certificate.key, cert: certificate.cert });
    // A connection that a client gave up is no matter of the stand's.
    server.on("tlsClientError", () => undefined).on("clientError", (_error, socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    stack.defer(() => server.close().closeAllConnections());
    const { port } = server.address() as AddressInfo; // it listens on an address, not on a path
    const relay = createRelay((_request, response) => {
      response.writeHead(403, { "x-bulkhead-refused": "not-granted" }).end();
    });
    const sockets = new Set<Socket>();
    relay.on("connect", ({ url = "" }: IncomingMessage, socket: Socket) => {
      if (!url.endsWith(".example.net:443")) {
        socket.end("HTTP/1.1 403 Forbidden\r\nx-bulkhead-refused: not-granted\r\n\r\n");
        return;
      }
      const onward = connect(port, "127.0.0.1", () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
      for (const each of [socket, onward]) {
        sockets.add(each);
        each.on("error", () => undefined);
      }
      socket.pipe(onward).pipe(socket);
    });
    const relaySocket = join(dir, "egress.sock");
    relay.listen(relaySocket);
    await once(relay, "listening");
    stack.defer(() => {
      for (const socket of sockets) socket.destroy();
      relay.close();
    });
    return new DownloaderStand(dir, certificate, server, relaySocket, stack.move());
  }

  get downloader(): Downloader {
    if (this.#downloader === null) throw new Error("it was not started");
    return this.#downloader;
  }

  /** A downloader on the stand's own volume, as after a restart where there was one. */
  async start(
    settings: z.input<typeof Settings>,
    inboxDir: string | null = null,
    parts: Partial<DownloaderParts> = {},
  ): Promise<Downloader> {
    await this.stop();
    this.#downloader = new Downloader({
      dataDir: join(this.dir, "store"),
      request: (url, options) => requestThroughEgress(url, { ...options, socketPath: this.#relaySocket }),
      deliver: async ({ name, sha256, sizeBytes, body }) => {
        const chunks: Uint8Array[] = [];
        for await (const chunk of body) chunks.push(chunk);
        const whole = Buffer.concat(chunks);
        if (this.deliveryFault !== null) throw new Error(this.deliveryFault);
        if (whole.length !== sizeBytes || sha256Of(whole) !== sha256)
          throw new Error("it is not what was said");
        this.delivered.push({ name, text: whole.toString("utf8") });
        return { version: `${this.delivered.length}-000000000000`, receivers: ["rules"] };
      },
      now: Date.now,
      random: () => 0,
      onRun: () => undefined,
      onDelivered: () => undefined,
      onImport: () => undefined,
      onChange: () => undefined,
      onProblem: () => undefined,
      ...parts,
    });
    await this.#downloader.apply(Settings.parse(settings), inboxDir);
    return this.#downloader;
  }

  async stop(): Promise<void> {
    await this.#downloader?.[Symbol.asyncDispose]();
    this.#downloader = null;
  }

  source(settings: Partial<SourceSettings> = {}): SourceSettings {
    return {
      name: "feed",
      url: FEED,
      as: AS,
      every: "1d",
      jitter: "1s",
      verify: "none",
      ca: this.certificate.cert,
      ...settings,
    };
  }

  /** Starts with this source alone and runs it. */
  async run(settings: Partial<SourceSettings> = {}) {
    const since = Date.now();
    await this.start({ sources: [this.source(settings)] });
    this.downloader.fetchNow("feed");
    return this.#ran(since);
  }

  /** Runs it once more. */
  async runAgain() {
    const since = Date.now();
    this.downloader.fetchNow("feed");
    return this.#ran(since);
  }

  /** What is handed over is handed over. */
  async settled(): Promise<readonly string[]> {
    await eventually("all is handed over", () =>
      this.downloader.status.sources.every(({ state, isDelivered }) => state === "idle" && isDelivered),
    );
    return this.delivered.map(({ text }) => text);
  }

  async #ran(sinceMs: number) {
    return eventually("it ran", () => {
      const source = this.downloader.status.sources[0];
      const isNew = Date.parse(source?.lastTryAt ?? "1970-01-01T00:00:00Z") >= sinceMs;
      return isNew && source?.state === "idle" ? source : null;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    this.#server.closeAllConnections();
    await this.#owned.disposeAsync();
  }
}

export function sha256Of(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** Answers with this, its length and its validators, and knows conditions and ranges. */
export function file(content: string | Buffer, headers: Readonly<Record<string, string>> = {}): Handler {
  return (request, response) => {
    const bytes = Buffer.from(content as string); // of a buffer it makes a copy
    const etag = headers["etag"] ?? `"${sha256Of(bytes).slice(0, 16)}"`;
    const common = { "content-type": "text/plain", ...headers, etag };
    if (request.headers["if-none-match"] === etag) {
      response.writeHead(304, common).end();
      return;
    }
    const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
    if (from !== undefined && request.headers["if-range"] === etag) {
      const part = bytes.subarray(Number(from));
      const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
      response.writeHead(206, { ...common, "content-length": part.length, "content-range": range }).end(part);
      return;
    }
    response.writeHead(200, { ...common, "content-length": bytes.length }).end(bytes);
  };
}
