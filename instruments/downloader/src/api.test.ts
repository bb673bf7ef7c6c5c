/** The API over HTTP/2, as the platform speaks to it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { after, before, suite, test } from "node:test";
import { json } from "node:stream/consumers";
import { downloaderApi } from "./api.ts";
import { NEW_RECORD } from "./source-record.ts";

const fetched: string[] = [];
const { formatVersion: _, ...record } = NEW_RECORD;
const source = {
  ...record,
  name: "et.open",
  url: "https://rules.example.net/feed",
  as: { type: "ruleset.feed", name: "et.open" },
  state: "idle",
  isDelivered: true,
  deliveryProblem: null,
  storeProblem: null,
} as const;
const server = createServer((request, response) =>
  downloaderApi({
    status: { sources: [source], imports: [] },
    fetchNow: (name) => {
      fetched.push(name);
      return true;
    },
  })(request, response),
);

before(async () => {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
after(() => server.close());

async function ask(method: string, path: string, role = "operator") {
  const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`); // it listens on an address
  try {
    const stream = session.request({ ":method": method, ":path": path, "bulkhead-role": role });
    const [headers] = (await once(stream, "response")) as [Readonly<Record<string, unknown>>];
    return { status: headers[":status"], body: await json(stream) };
  } finally {
    session.close();
  }
}

suite("api", () => {
  test("tells of all sources, and of one", async () => {
    assert.deepEqual((await ask("GET", "/v1/sources", "viewer")).body, { sources: [source], imports: [] });
    assert.deepEqual((await ask("GET", "/v1/sources/et.open", "viewer")).body, source);
  });

  test("fetches one for an operator alone", async () => {
    assert.equal((await ask("POST", "/v1/sources/et.open/fetch", "viewer")).status, 403);
    assert.deepEqual(fetched, []);
    assert.equal((await ask("POST", "/v1/sources/et.open/fetch")).status, 202);
    assert.deepEqual(fetched, ["et.open"]);
  });

  test("says what it has not", async () => {
    for (const [method, path, status] of [
      ["GET", "/v1/sources/other", 404],
      ["POST", "/v1/sources/other/fetch", 404],
      ["GET", "/v1/sources/../secret", 404],
      ["GET", "/v1/sources/et.open/fetch", 405],
      ["DELETE", "/v1/sources/et.open", 405],
      ["POST", "/v1/sources", 405],
    ] as const) {
      assert.equal((await ask(method, path)).status, status, `${method} ${path}`);
    }
  });
});
