/** Reverse HTTP/2: the instrument dials and serves; the platform's side here is a plain HTTP/2 client. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { readBody, sendChunks, sendJson, serveUi, type UiHandler } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";

class Door implements AsyncDisposable {
  readonly socketPath: string;
  readonly #dir: string;
  readonly #ui: AsyncDisposable;
  #server: Server | null = null;
  #session = Promise.withResolvers<ClientHttp2Session>();

  private constructor(dir: string, ui: AsyncDisposable, socketPath: string) {
    this.#dir = dir;
    this.#ui = ui;
    this.socketPath = socketPath;
  }

  static async open(handler: UiHandler): Promise<Door> {
    const dir = await mkdtemp(join(tmpdir(), "bh-test-ui-"));
    const socketPath = join(dir, "ui.sock");
    const door = new Door(dir, serveUi({ socketPath, handler }), socketPath);
    await door.listen();
    return door;
  }

  async listen(): Promise<void> {
    this.#server = createServer((socket: Socket) => {
      const session = connect("http://instrument", { createConnection: () => socket });
      session.on("error", () => undefined);
      this.#session.resolve(session);
    }).listen(this.socketPath);
    await once(this.#server, "listening");
  }

  session(): Promise<ClientHttp2Session> {
    return this.#session.promise;
  }

  /** As a platform process that dies. */
  async fall(): Promise<void> {
    (await this.session()).destroy();
    this.#server?.close();
    this.#session = Promise.withResolvers();
    await rm(this.socketPath, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    (await this.session()).destroy();
    this.#server?.close();
    await this.#ui[Symbol.asyncDispose]();
    await rm(this.#dir, { recursive: true, force: true });
  }
}

interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** RFC 9113: how the stream was closed; 0 is in good order. */
  readonly rstCode: number;
}

async function request(
  door: Door,
  path: string,
  send?: (stream: ClientHttp2Stream) => void,
): Promise<Answer> {
  const session = await door.session();
  const stream = session.request({ ":path": path, ":method": send === undefined ? "GET" : "POST" });
  const chunks: Buffer[] = [];
  let status = 0;
  stream.on("response", (head) => (status = Number(head[":status"])));
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  stream.on("error", () => undefined); // the code tells
  if (send === undefined) stream.end();
  else send(stream);
  await new Promise((resolve) => stream.once("close", resolve));
  return { status, body: Buffer.concat(chunks), rstCode: stream.rstCode ?? 0 };
}

test("an ordinary handler answers over the connection that the instrument dialled", async () => {
  await using door = await Door.open((req, res) => sendJson(res, 200, { url: req.url, method: req.method }));
  const { status, body, rstCode } = await request(door, "/v1/lookup?q=a");
  assert.equal(status, 200);
  assert.equal(rstCode, 0);
  assert.deepEqual(JSON.parse(body.toString()), { url: "/v1/lookup?q=a", method: "GET" });
});

test("long answers come whole, whatever the reader's pace", async () => {
  const line = `${"x".repeat(999)}\n`;
  await using door = await Door.open((_req, res) =>
    sendChunks(
      res,
      Array.from({ length: 30_000 }, () => line),
    ),
  );
  const { body, rstCode } = await request(door, "/");
  assert.equal(body.length, 30_000_000);
  assert.equal(rstCode, 0);
});

test("an answer that fails half-way is reset, not ended; one that fails at once is a 500", async () => {
  await using door = await Door.open(async (req, res) => {
    if (req.url === "/late") {
      res.writeHead(200);
      res.write("half");
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("the store is gone");
  });
  const late = await request(door, "/late");
  assert.equal(late.status, 200);
  assert.notEqual(late.rstCode, 0, "the reader can tell that it is not whole");
  const early = await request(door, "/early");
  assert.equal(early.status, 500);
  assert.equal(early.rstCode, 0);
});

test("an upload that is aborted is never taken for a whole one", async () => {
  const outcomes: string[] = [];
  await using door = await Door.open(async (req, res) => {
    try {
      const body = await readBody(req, 1_000);
      outcomes.push(`whole ${body.length}`);
      res.end("ok");
    } catch (error) {
      outcomes.push((error as { code?: string }).code ?? String(error));
      throw error;
    }
  });
  await request(door, "/", (stream) => stream.end("x".repeat(500)));
  await request(door, "/", (stream) => {
    stream.write("x".repeat(500));
    // `stream.close(code)` would send a clean end first.
    setTimeout(() => stream.destroy(new Error("the sender went away")), 50);
  });
  const large = await request(door, "/", (stream) => stream.end("x".repeat(1_001)));
  await eventually("all three", () => outcomes.length === 3);
  assert.equal(large.status, 400);
  assert.equal(outcomes[0], "whole 500");
  assert.ok(!outcomes[1]?.startsWith("whole"), outcomes[1]);
  assert.equal(outcomes[2], "sdk-ui-body-too-large");
});

test("it dials again when the platform's process was gone", async () => {
  await using door = await Door.open((_req, res) => sendJson(res, 200, {}));
  assert.equal((await request(door, "/")).status, 200);
  await door.fall();
  await door.listen();
  assert.equal((await request(door, "/")).status, 200);
});
