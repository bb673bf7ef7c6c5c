/** The API's NDJSON streams over a real socket: no faster than the caller reads, and no longer. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { request, type IncomingMessage } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { EventRecord } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import { localRoot } from "../../../packages/sensord/src/api/authorize.ts";
import type { ApiHandlers } from "../../../packages/sensord/src/api/contract.ts";
import { listenOnSocket } from "../../../packages/sensord/src/api/listen.ts";
import { makeApiServer } from "../../../packages/sensord/src/api/server.ts";
import { SILENT } from "../../../packages/sensord/src/log.ts";

type Source = (signal: AbortSignal) => AsyncIterable<EventRecord>;

async function listen(source: Source): Promise<AsyncDisposable & { readonly path: string }> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bh-api-"));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "api.sock");
  const never = async (): Promise<never> => assert.fail("only events are asked for");
  const none = (): never => assert.fail("only events are asked for");
  const handlers: ApiHandlers = {
    status: never,
    plan: never,
    apply: never,
    explain: never,
    start: never,
    stop: never,
    restart: never,
    logs: none,
    events: ({ signal }) => source(signal),
    bus: never,
    resources: never,
    messages: none,
    taps: never,
    network: never,
    egress: never,
    ui: never,
    audit: none,
    auditEntry: never,
    retention: never,
    retentionErase: never,
    retentionClock: never,
    openapi: never,
  };
  const server = await makeApiServer({ handlers, resolveCaller: localRoot, onDenied: none, log: SILENT });
  stack.defer(() => server.close());
  await listenOnSocket(server, path);
  const owned = stack.move();
  return { path, [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose]() };
}

function open(socketPath: string): Promise<{ response: IncomingMessage; readonly end: () => void }> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath, path: "/api/v1/events?follow=true", agent: false });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      response.on("error", () => {});
      resolve({ response, end: () => outgoing.destroy() });
    });
    outgoing.end();
  });
}

const EVENT: EventRecord = {
  id: "1",
  instrument: "ids",
  type: "ids.dns",
  time: "2026-01-01T00:00:00Z",
  stored: "2026-01-01T00:00:00Z",
  sequence: 1,
  data: "x".repeat(10_000),
};

test("API streams: a caller that does not read stops the source, and one that goes ends it", async () => {
  let made = 0;
  let ended = false;
  async function* source(): AsyncGenerator<EventRecord> {
    try {
      for (;;) {
        made += 1;
        yield EVENT;
      }
    } finally {
      ended = true;
    }
  }
  await using api = await listen(source);
  const { response, end } = await open(api.path);
  response.pause();
  await eventually("the source stands still", async () => {
    const before = made;
    await delay(300);
    return made > 0 && before === made ? true : null;
  });
  assert.ok(made < 2000, `${made} records were made for a caller that reads none`);
  end();
  await eventually("the source is ended", () => (ended ? true : null));
});

test("API streams: the head of a quiet stream comes at once, and its end is told to the source", async () => {
  const gone = Promise.withResolvers<void>();
  // eslint-disable-next-line require-yield -- a stream on which nothing comes
  async function* source(signal: AbortSignal): AsyncGenerator<EventRecord> {
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    gone.resolve();
  }
  await using api = await listen(source);
  const { response, end } = await open(api.path);
  assert.equal(response.statusCode, 200);
  end();
  await gone.promise;
});

test("API streams: a source that fails at once is a problem, one that fails later breaks off", async () => {
  let fails = 0;
  async function* source(): AsyncGenerator<EventRecord> {
    if (fails > 0) yield EVENT;
    throw new Error("gone");
  }
  await using api = await listen(source);
  const first = await open(api.path);
  assert.equal(first.response.statusCode, 500);
  fails = 1;
  const { response } = await open(api.path);
  const aborted = await new Promise((resolve) => {
    response.resume();
    response.once("close", () => resolve(!response.complete));
  });
  assert.equal(aborted, true);
});
