import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { HeldCanary } from "../../../packages/warden/src/verify/canaries.ts";
import { holdCanary } from "../../../packages/warden/src/api/canary-connection.ts";
import Fastify from "fastify";

test("a canary goes with the connection that asked for it", async () => {
  await using stand = await makeStand();
  const client = await stand.ask();
  assert.equal(stand.canary.releases, 0);
  client.destroy();
  await stand.lost;
  assert.equal(stand.canary.releases, 1);
});

test("a client that goes away while its canary is being made leaves none behind", async () => {
  await using stand = await makeStand({ slow: true });
  const sent = request({ socketPath: stand.path, method: "POST", path: "/canary" }).on(
    "error",
    () => undefined,
  );
  sent.end();
  await stand.asked;
  sent.destroy();
  await stand.closed;
  stand.go();
  await stand.lost;
  assert.equal(stand.canary.releases, 1);
});

test("the response ends with the canary, and nobody is told that it was lost", async () => {
  await using stand = await makeStand();
  const client = await stand.ask();
  const ended = new Promise<void>((resolve) => void client.once("end", () => resolve()));
  stand.canary.end();
  await ended;
  client.destroy();
  assert.equal(stand.canary.releases, 0);
  assert.equal(stand.losses.length, 0);
});

test("a canary that cannot be removed is told of", async () => {
  await using stand = await makeStand({ stuck: true });
  (await stand.ask()).destroy();
  await stand.lost;
  assert.match(String(stand.losses[0]), /busy/);
});

async function makeStand({ slow = false, stuck = false } = {}) {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-canary-"));
  const path = join(dir, "door.sock");
  const { promise: asked, resolve: onAsked } = Promise.withResolvers<void>();
  const { promise: gate, resolve: go } = Promise.withResolvers<void>();
  const { promise: lost, resolve: onLost } = Promise.withResolvers<void>();
  const { promise: closed, resolve: onClosed } = Promise.withResolvers<void>();
  const losses: unknown[] = [];
  const canary = fakeCanary(stuck);
  const server = Fastify({ forceCloseConnections: true });
  server.post("/canary", (_request, reply) => {
    reply.raw.once("close", onClosed);
    const make = async (): Promise<HeldCanary> => {
      onAsked();
      if (slow) await gate;
      return canary.held;
    };
    return holdCanary(reply, make, (error) => {
      losses.push(error);
      onLost();
    });
  });
  await server.listen({ path });
  return {
    ...{ path, canary, asked, lost, closed, go, losses },
    /** The response, once its first line is there. */
    ask: () => {
      const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
      request({ socketPath: path, method: "POST", path: "/canary" }, (response) => {
        response.on("error", () => undefined); // its end is what counts
        response.once("data", () => resolve(response));
      })
        .on("error", reject)
        .end();
      return promise;
    },
    [Symbol.asyncDispose]: async () => {
      await server.close();
      await rm(dir, { recursive: true });
    },
  };
}

function fakeCanary(stuck: boolean) {
  const { promise: ended, resolve } = Promise.withResolvers<"ended">();
  let releases = 0;
  const reply = { pid: 1 } as HeldCanary["reply"]; // nobody reads the rest here
  const held: HeldCanary = {
    reply,
    ended,
    release: async () => {
      releases += 1;
      if (stuck) throw new Error("volume busy");
      return true;
    },
  };
  return {
    held,
    end: () => resolve("ended"),
    get releases() {
      return releases;
    },
  };
}
