/**
 * UI gate and proxy over real sockets: an instrument that dials in and serves HTTP/2, a caller
 * that asks over HTTP/1, and what happens when one of them breaks off, stalls or misbehaves.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { createServer as createHttpServer, request as httpRequest, type IncomingMessage } from "node:http";
import { type AddressInfo, connect as dial } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { serveUi, type UiHandler } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import { isSensordError } from "../../../packages/sensord/src/error.ts";
import { type Log, SILENT } from "../../../packages/sensord/src/log.ts";
import { UiGate } from "../../../packages/sensord/src/ui-gate.ts";
import { DEFAULT_UI_LIMITS, type UiLimits } from "../../../packages/sensord/src/ui-limits.ts";
import { proxyUi, type UiOutcome } from "../../../packages/sensord/src/ui-proxy.ts";

const CHUNK = Buffer.alloc(64 * 1024, 7);
const CALLER = { subject: "local:root", role: "admin" } as const;

interface Bench extends AsyncDisposable {
  readonly gate: UiGate;
  readonly socketPath: string;
  readonly port: number;
  /** Of each request, in the order of their ends; an error's code where it threw. */
  readonly outcomes: (UiOutcome | string)[];
}

async function makeBench(
  limits: Partial<UiLimits> = {},
  onDisconnect: (reason: string) => void = () => {},
): Promise<Bench> {
  const directory = await mkdtemp(join(tmpdir(), "bh-ui-"));
  await mkdir(join(directory, "pdns"));
  const all = { ...DEFAULT_UI_LIMITS, ...limits };
  const info: Log["info"] = (message, fields) => {
    if (message === "UI disconnected") onDisconnect(String(fields?.["reason"]));
  };
  const gate = new UiGate({ socketsDir: directory, log: { ...SILENT, info }, limits: all });
  await gate.grant(new Set(["pdns"]));
  const outcomes: (UiOutcome | string)[] = [];
  const server = createHttpServer((request, response) => {
    const session = gate.session("pdns");
    if (session === null) {
      response.writeHead(503).end();
      return;
    }
    proxyUi(session, {
      caller: CALLER,
      instrument: "pdns",
      path: request.url ?? "",
      prefix: "/api/v1/instruments/pdns/ui",
      request,
      response,
      headWithinMs: all.headWithinMs,
    }).then(
      (outcome) => outcomes.push(outcome),
      (error: unknown) => {
        outcomes.push(isSensordError(error) ? error.code : String(error));
        if (!response.headersSent) response.writeHead(502).end();
        else response.destroy();
      },
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    gate,
    socketPath: join(directory, "pdns", "ui.sock"),
    port: (server.address() as AddressInfo).port, // it listens on TCP
    outcomes,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await gate[Symbol.asyncDispose]();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

async function withInstrument(
  handler: UiHandler,
  use: (bench: Bench) => Promise<void>,
  limits: Partial<UiLimits> = {},
): Promise<void> {
  await using bench = await makeBench(limits);
  await eventually("the socket is there", () => exists(bench.socketPath));
  await using ui = serveUi({ socketPath: bench.socketPath, handler });
  await eventually("the instrument has dialled", () => bench.gate.session("pdns") !== null);
  assert.ok(ui.connected);
  await use(bench);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

interface Answer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly body: Buffer;
  readonly complete: boolean;
}

function ask(
  port: number,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: Buffer } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { method = "GET", headers = {}, body } = options;
    const outgoing = httpRequest({ host: "127.0.0.1", port, path, method, headers, agent: false });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      const end = (): void =>
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: Buffer.concat(chunks),
          complete: response.complete,
        });
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", end);
      response.on("error", end);
    });
    outgoing.end(body);
  });
}

test("ui: the socket may be dialled by another user, and a request passes with forced headers", async () => {
  const seen: Record<string, unknown>[] = [];
  await withInstrument(
    (request, response) => {
      seen.push({ ...request.headers });
      response.setHeader("set-cookie", "a=b");
      response.setHeader("access-control-allow-origin", "*");
      response.setHeader("location", "/next");
      response.setHeader("content-type", "application/json");
      response.statusCode = 201;
      response.end('{"ok":true}');
    },
    async ({ port, socketPath, outcomes }) => {
      assert.equal((await stat(socketPath)).mode & 0o777, 0o666);
      const headers = {
        cookie: "s=1",
        authorization: "Bearer x",
        "bulkhead-role": "viewer",
        "bulkhead-user": "eve",
        "x-forwarded-for": "1.2.3.4",
        accept: "*/*",
      };
      const answer = await ask(port, "/v1/lookup?q=example.org", { headers });
      assert.equal(answer.status, 201);
      assert.equal(answer.body.toString(), '{"ok":true}');
      assert.equal(answer.headers["set-cookie"], undefined);
      assert.equal(answer.headers["access-control-allow-origin"], undefined);
      assert.equal(answer.headers["location"], "/api/v1/instruments/pdns/ui/next");
      assert.equal(answer.headers["x-content-type-options"], "nosniff");
      const head = seen[0] ?? {};
      assert.equal(head[":path"], "/v1/lookup?q=example.org");
      assert.equal(head["bulkhead-user"], "local:root");
      assert.equal(head["bulkhead-role"], "admin");
      for (const name of ["cookie", "authorization", "x-forwarded-for"]) {
        assert.equal(head[name], undefined, name);
      }
      await eventually("the outcome", () => outcomes.length === 1);
      assert.deepEqual(outcomes[0], { status: 201, end: "whole", sentBytes: 0, receivedBytes: 11 });
    },
  );
});

test("ui: a body passes whole both ways", async () => {
  await withInstrument(
    (request, response) => {
      request.pipe(response);
    },
    async ({ port }) => {
      const body = Buffer.concat(Array.from({ length: 64 }, (_, i) => Buffer.alloc(65_536, i)));
      const answer = await ask(port, "/echo", { method: "POST", body });
      assert.ok(answer.complete);
      assert.ok(answer.body.equals(body));
    },
  );
});

test("ui: a response that the instrument breaks off never looks whole", async () => {
  const breaks: Record<string, (response: Parameters<UiHandler>[1]) => void> = {
    "/reset": (response) => response.stream.destroy(new Error("broken")),
    "/die": (response) => response.stream.session?.socket.destroy(),
    "/close": (response) => response.stream.close(8),
    "/session": (response) => response.stream.session?.destroy(),
  };
  for (const [path, breakOff] of Object.entries(breaks)) {
    await withInstrument(
      async (_request, response) => {
        response.writeHead(200, { "content-type": "text/plain" });
        response.write(CHUNK);
        await delay(100);
        breakOff(response);
      },
      async ({ port, outcomes }) => {
        const answer = await ask(port, path);
        assert.equal(answer.complete, false, `${path} looked whole`);
        await eventually("the outcome", () => outcomes.length === 1);
        const outcome = outcomes[0];
        assert.ok(typeof outcome === "object" && outcome.end === "truncated", path);
      },
    );
  }
});

test("ui: a declared length that is not met is a truncation", async () => {
  await withInstrument(
    (_request, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.end("short");
    },
    async ({ port }) => {
      const answer = await ask(port, "/short");
      assert.equal(answer.complete, false);
    },
  );
});

test("ui: an upload that the caller breaks off reaches the instrument as aborted", async () => {
  const ends: string[] = [];
  await withInstrument(
    (request) => {
      request.on("end", () => {
        const broken = request.stream.aborted || (request.stream.rstCode ?? 0) !== 0;
        ends.push(broken ? "aborted" : "whole");
      });
      request.on("aborted", () => ends.push("aborted"));
      request.on("error", () => ends.push("aborted"));
      request.resume();
    },
    async ({ port, outcomes }) => {
      const outgoing = httpRequest({
        host: "127.0.0.1",
        port,
        path: "/up",
        method: "POST",
        headers: { "content-length": "1000000" },
        agent: false,
      });
      outgoing.on("error", () => {});
      outgoing.write(CHUNK);
      await delay(200);
      outgoing.destroy();
      await eventually("the instrument heard", () => ends.length > 0);
      assert.ok(!ends.includes("whole"));
      await eventually("the outcome", () => outcomes.length === 1);
      const outcome = outcomes[0];
      assert.ok(typeof outcome === "object" && outcome.end === "aborted");
    },
  );
});

test("ui: a caller that goes away is told to the instrument", async () => {
  let closed = false;
  await withInstrument(
    (_request, response) => {
      response.writeHead(200);
      response.write("first");
      response.stream.on("close", () => {
        closed = true;
      });
    },
    async ({ port }) => {
      const outgoing = httpRequest({ host: "127.0.0.1", port, path: "/sse", agent: false });
      outgoing.on("error", () => {});
      outgoing.on("response", (response) => {
        response.on("error", () => {});
        response.once("data", () => outgoing.destroy());
      });
      outgoing.end();
      await eventually("the instrument's stream closes", () => closed);
    },
  );
});

test("ui: a slow reader holds the instrument back, and others go on", async () => {
  let written = 0;
  await withInstrument(
    async (request, response) => {
      if (request.url === "/quick") {
        response.end("quick");
        return;
      }
      for (let i = 0; i < 2000 && !response.stream.destroyed; i += 1) {
        written += CHUNK.length;
        if (!response.write(CHUNK)) {
          await new Promise<void>((resolve) => {
            response.once("drain", resolve);
            response.stream.once("close", resolve);
          });
        }
      }
    },
    async ({ port }) => {
      const outgoing = httpRequest({ host: "127.0.0.1", port, path: "/flood", agent: false });
      outgoing.on("error", () => {});
      outgoing.end();
      const [response] = await new Promise<[IncomingMessage]>((resolve) =>
        outgoing.once("response", (r) => resolve([r])),
      );
      response.pause();
      let before = -1;
      await eventually("it stands still", async () => {
        before = written;
        await delay(300);
        return written > 0 && before === written;
      });
      assert.ok(written < 32 * 1024 * 1024, `${written} bytes were taken for a reader that reads none`);
      assert.equal((await ask(port, "/quick")).body.toString(), "quick");
      outgoing.destroy();
    },
  );
});

test("ui: many aborts do not end the session of others", async () => {
  await withInstrument(
    (request, response) => {
      if (request.url === "/quick") response.end("quick");
      else {
        response.writeHead(200);
        response.write("x");
      }
    },
    async ({ port, gate }) => {
      const session = gate.session("pdns");
      for (let i = 0; i < 1500; i += 1) await abortOne(port);
      assert.equal(gate.session("pdns"), session, "it is still the same session");
      await eventually("a request passes", async () => (await ask(port, "/quick")).status === 200);
    },
    { resetsPerSecond: 25, resetBurst: 500 },
  );
});

function abortOne(port: number): Promise<void> {
  return new Promise((resolve) => {
    const outgoing = httpRequest({ host: "127.0.0.1", port, path: "/hang", agent: false });
    outgoing.on("error", () => resolve());
    outgoing.on("response", (response) => {
      response.on("error", () => {});
      outgoing.destroy();
      resolve();
    });
    outgoing.end();
  });
}

test("ui: more streams than allowed are refused with ui-busy, and a late head with ui-late", async () => {
  await withInstrument(
    () => {},
    async ({ port, outcomes }) => {
      await Promise.all(Array.from({ length: 5 }, () => ask(port, "/never")));
      assert.equal(outcomes.filter((o) => o === "ui-busy").length, 3);
      assert.equal(outcomes.filter((o) => o === "ui-late").length, 2);
    },
    { streams: 2, headWithinMs: 500 },
  );
});

test("ui: a bad path, a bad method and too many headers are refused", async () => {
  await withInstrument(
    (_request, response) => {
      for (let i = 0; i < 200; i += 1) response.setHeader(`x-h-${i}`, "1");
      response.end("x");
    },
    async ({ port, outcomes }) => {
      assert.equal((await ask(port, `/${"a".repeat(9000)}`)).status, 502);
      assert.equal((await ask(port, "/many")).status, 502);
      assert.equal((await ask(port, "/x", { method: "PROPFIND" })).status, 502);
      assert.deepEqual(outcomes, ["ui-path-refused", "ui-reply-invalid", "ui-method-refused"]);
    },
  );
});

test("ui: an instrument that stops answering is dropped, and comes back", async () => {
  await using bench = await makeBench({ pingEveryMs: 200, pongWithinMs: 300 });
  await eventually("the socket is there", () => exists(bench.socketPath));
  const silent = dial(bench.socketPath);
  silent.on("error", () => {});
  await eventually("it is taken", () => bench.gate.session("pdns") !== null);
  await eventually("it is dropped", () => bench.gate.session("pdns") === null);
  silent.destroy();
  await using ui = serveUi({
    socketPath: bench.socketPath,
    handler: (_request, response) => void response.end("back"),
  });
  await eventually("it is back", () => bench.gate.session("pdns") !== null);
  assert.ok(ui.connected);
  assert.equal((await ask(bench.port, "/")).body.toString(), "back");
});

test("ui: a flood of frames without payload ends the session", async () => {
  const reasons: string[] = [];
  await using bench = await makeBench({}, (reason) => reasons.push(reason));
  await eventually("the socket is there", () => exists(bench.socketPath));
  const socket = dial(bench.socketPath);
  socket.on("error", () => {});
  socket.resume();
  // Server preface: an empty SETTINGS frame, then the acknowledgement of the client's.
  socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0]));
  await eventually("it is taken", () => bench.gate.session("pdns") !== null);
  // WINDOW_UPDATE by one byte (RFC 9113, section 6.9): allowed at any time, and nghttp2 counts none.
  const frame = Buffer.from([0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
  const flood = Buffer.concat(Array.from({ length: 4096 }, () => frame));
  const flooding = setInterval(() => {
    if (!socket.destroyed && socket.writableLength < flood.length) socket.write(flood);
  }, 20);
  await eventually("the session is closed", () => reasons.length > 0).finally(() => clearInterval(flooding));
  assert.deepEqual(reasons, ["the instrument sent too much that was no payload"]);
  socket.destroy();
});

test("ui: losing the grant ends what is open and takes the socket away", async () => {
  await withInstrument(
    (_request, response) => {
      response.writeHead(200);
      response.write("x");
    },
    async ({ port, gate, socketPath }) => {
      const pending = ask(port, "/hang");
      await delay(100);
      await gate.grant(new Set());
      assert.equal((await pending).complete, false);
      assert.equal(gate.session("pdns"), null);
      assert.equal(await exists(socketPath), false);
    },
  );
});

test("ui: a directory that was made anew gets its socket again", async () => {
  await using bench = await makeBench();
  await eventually("the socket is there", () => exists(bench.socketPath));
  await rm(bench.socketPath);
  await eventually("the socket is there again", () => exists(bench.socketPath));
});
