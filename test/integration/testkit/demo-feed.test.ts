import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  demoFeed,
  FEED_ADDRESS,
  FEED_CLIENT_ADDRESS,
  FEED_HOST,
  makeDemoFeed,
  makeNamespace,
  observeDemoFeed,
  openFeedFiles,
  publishFile,
  removeDemoFeed,
  runCommand,
} from "@bulkhead/testkit";
import { serveFeed } from "../../../packages/testkit/src/demo-feed-server.ts";

interface Answer {
  readonly status: number | undefined;
  readonly etag: string | undefined;
  readonly text: string;
}

test("the feed publishes whole files under its own certificate, and nothing else", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "bhtest-feed-"));
  t.after(() => rm(root, { recursive: true }));
  const files = await openFeedFiles(root);
  assert.deepEqual(await openFeedFiles(root), files, "keys are made once");
  const server = await serveFeed(files.certificate, files.directory, 0);
  t.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === "object");
  const get = async (path: string, headers: Readonly<Record<string, string>> = {}): Promise<Answer> => {
    const { cert: ca } = files.certificate;
    const call = request({ host: "127.0.0.1", port: address.port, servername: FEED_HOST, path, headers, ca });
    call.end();
    const [response] = await once(call, "response");
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk);
    return {
      status: response.statusCode,
      etag: response.headers.etag,
      text: Buffer.concat(chunks).toString(),
    };
  };
  assert.equal((await get("/demo.rules")).status, 404);
  await publishFile(files, "demo.rules", Buffer.from("one\n"));
  const one = await get("/demo.rules");
  assert.deepEqual([one.status, one.text], [200, "one\n"]);
  assert.equal((await get("/demo.rules", { "if-none-match": one.etag ?? "" })).status, 304);
  await publishFile(files, "demo.rules", Buffer.from("two\n"));
  const two = await get("/demo.rules?x", { "if-none-match": one.etag ?? "" });
  assert.deepEqual([two.status, two.text], [200, "two\n"]);
  assert.match((await get("/demo.rules.minisig")).text, /^untrusted comment: .*\n\S{100}\ntrusted comment: /);
  for (const path of ["/", "/../signing.key", "/%2e%2e/signing.key", "/..", "/www/demo.rules"])
    assert.equal((await get(path)).status, 404, path);
});

test("the feed's host stands at the end of a device that a sensor may take, and leaves nothing", async () => {
  const slug = `bulkhead-t${randomBytes(3).toString("hex")}`;
  const { namespace, device } = demoFeed(slug);
  assert.equal(await observeDemoFeed(slug), false);
  await makeDemoFeed(slug);
  try {
    await using sensor = await makeNamespace();
    await runCommand("ip", ["link", "set", device, "netns", sensor.name]);
    await sensor.ip("addr", "add", `${FEED_CLIENT_ADDRESS}/24`, "dev", device);
    await sensor.ip("link", "set", device, "up");
    await makeDemoFeed(slug);
    await sensor.run("ping", ["-n", "-q", "-c", "1", "-W", "5", FEED_ADDRESS]);
    assert.equal(await observeDemoFeed(slug), true);
  } finally {
    await removeDemoFeed(slug);
  }
  assert.doesNotMatch((await runCommand("ip", ["netns", "list"])).stdout, new RegExp(namespace));
  assert.doesNotMatch((await runCommand("ip", ["link", "show"])).stdout, new RegExp(device));
});
