/** A small store, shared by those who emit: shares follow as instruments come, go and are retained. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { BusFixture, DESIRED, EVIL, IDS, makeSocketDir, PDNS } from "./bus-fixture.ts";

const MIB = 2 ** 20;
const STORE = 100 * MIB;

test("as instruments come, go and are retained, the streams fit the store at every moment", async () => {
  await using fixture = await BusFixture.open({
    limits: { broker: { storeBytes: STORE } },
    desired: { ...DESIRED, instruments: [IDS, PDNS] },
  });
  await makeSocketDir(fixture.layout.socketsDir, EVIL.name);
  const jsm = await jetstreamManager(await fixture.direct("platform"), { checkAPI: false });
  const sizes = async () => {
    const found: Record<string, number> = {};
    for await (const { config } of jsm.streams.list()) found[config.name] = config.max_bytes / MIB;
    return found;
  };
  const alone = (await sizes())["EV_ids"] ?? 0;
  assert.ok(alone > 20, String(alone));
  await fixture.bus.applyGrants({ ...DESIRED, instruments: [IDS, PDNS, EVIL] });
  const shared = await sizes();
  assert.ok((shared["EV_ids"] ?? 0) < alone && shared["EV_evil"] === shared["EV_ids"]);
  await fixture.bus.applyGrants({ ...DESIRED, instruments: [IDS, PDNS], retained: ["evil"] });
  assert.deepEqual(await sizes(), shared, "what is retained keeps its share");
  await fixture.bus.applyGrants({ ...DESIRED, instruments: [IDS, PDNS] });
  const after = await sizes();
  assert.equal(after["EV_ids"], alone);
  assert.equal(after["EV_evil"], undefined);
});
