/**
 * The runtime client against the real daemon, through a relay that can be cut: what fails says what it was, and the
 * events come back by themselves.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, connect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite, test } from "node:test";
import * as z from "zod";
import { openRuntimeClient } from "../../../packages/warden/src/engine/runtime-client.ts";
import type { RuntimeEvent } from "../../../packages/warden/src/engine/runtime-events.ts";
import { exchange } from "../../../packages/warden/src/engine/runtime-http.ts";
import { isWardenError, type WardenErrorCode } from "../../../packages/warden/src/error.ts";
import { TEST_RUNTIME } from "../../runtime.ts";
import { eventually } from "./engine-stand.ts";

const withCode = (code: WardenErrorCode) => (error: unknown) => isWardenError(error, code);
const server = { scope: "server" } as const;

/** A socket that leads to the daemon until it is cut. */
async function relay(stack: AsyncDisposableStack, target: string | null) {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-relay-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const socketPath = join(dir, "relay.sock");
  const open = new Set<Socket>();
  const listen = async (): Promise<Server> => {
    const listener = createServer((socket) => {
      open.add(socket);
      socket.on("error", () => socket.destroy());
      if (target === null) return;
      const onward = connect(target);
      onward.on("error", () => socket.destroy());
      socket.pipe(onward).pipe(socket);
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    listener.listen(socketPath, resolve);
    await promise;
    return listener;
  };
  const cut = async (listener: Server): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    listener.close(() => resolve());
    for (const socket of open) socket.destroy();
    open.clear();
    await promise;
  };
  return { socketPath, listen, cut };
}

suite("runtime client", () => {
  test("probes what the runtime is and can", async () => {
    const client = await openRuntimeClient(TEST_RUNTIME.socket, "default");
    assert.equal(client.dialect.kind, TEST_RUNTIME.kind);
    assert.ok(client.extensions.has("id_map_base"));
  });

  test("each failure has its code", async () => {
    await assert.rejects(
      openRuntimeClient("/nowhere/unix.socket", "default"),
      withCode("runtime-unreachable"),
    );
    const client = await openRuntimeClient(TEST_RUNTIME.socket, "default");
    const path = "/1.0/instances/no-such-instance";
    await assert.rejects(client.get(path, z.unknown()), withCode("runtime-not-found"));
    assert.equal(await client.find(path, z.unknown()), null);
    assert.equal(await client.text(`${path}/logs/lxc.log`), null);
    await assert.rejects(
      client.get("/1.0", z.object({ nothing: z.string() }), server),
      withCode("runtime-answer-unreadable"),
    );
    const project = { name: "bad name", config: {} };
    await assert.rejects(client.post("/1.0/projects", project, server), withCode("runtime-refused"));
    const absent = {
      name: "t-client-none",
      type: "container",
      source: { type: "image", alias: "t-no-image" },
    };
    await assert.rejects(client.post("/1.0/instances", absent), (error) => isWardenError(error));
    const aborted = { signal: AbortSignal.abort() };
    await assert.rejects(client.get("/1.0", z.unknown(), aborted), withCode("runtime-aborted"));
  });

  test("a daemon that does not answer is a time-out, one that goes away is unreachable", async () => {
    await using stack = new AsyncDisposableStack();
    const real = await relay(stack, TEST_RUNTIME.socket);
    const listener = await real.listen();
    const client = await openRuntimeClient(real.socketPath, "default");
    await real.cut(listener);
    await assert.rejects(client.get("/1.0", z.unknown()), withCode("runtime-unreachable"));

    const silent = await relay(stack, null);
    const deaf = await silent.listen();
    stack.defer(() => silent.cut(deaf));
    const opening = openRuntimeClient(silent.socketPath, "default", AbortSignal.timeout(300));
    await assert.rejects(opening, withCode("runtime-aborted"));
    const call = { socketPath: silent.socketPath, method: "GET", path: "/1.0", timeoutMs: 200 } as const;
    await assert.rejects(exchange(call), withCode("runtime-timeout"));
  });

  test("events come back after the daemon was away, with a word to look again", async () => {
    await using stack = new AsyncDisposableStack();
    const { socketPath, listen, cut } = await relay(stack, TEST_RUNTIME.socket);
    const project = "t-client-events";
    const client = await openRuntimeClient(TEST_RUNTIME.socket, project);
    const clear = () => client.delete(`/1.0/projects/${project}`, server).catch(() => undefined);
    await clear();
    stack.defer(clear);
    const config = { "features.profiles": "true", "features.images": "true" };
    await client.post("/1.0/projects", { name: project, config }, server);

    let listener = await listen();
    const throughRelay = await openRuntimeClient(socketPath, project);
    const stopping = new AbortController();
    const events: RuntimeEvent[] = [];
    const reading = (async () => {
      for await (const event of throughRelay.events(stopping.signal)) events.push(event);
    })();
    const resyncs = () => events.filter(({ kind }) => kind === "resync").length;
    const seen = (action: string) => events.some((e) => e.kind === "lifecycle" && e.action === action);
    await eventually(
      async () => resyncs(),
      (count) => count === 1,
    );
    await client.post("/1.0/profiles", { name: "one", config: {}, devices: {} });
    await eventually(async () => seen("profile-created"), Boolean);

    await cut(listener);
    listener = await listen();
    await eventually(
      async () => resyncs(),
      (count) => count === 2,
    );
    await client.delete("/1.0/profiles/one");
    await eventually(async () => seen("profile-deleted"), Boolean);
    stopping.abort();
    await reading;
    await cut(listener);
  });
});
