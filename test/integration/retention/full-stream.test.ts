/** A full stream loses its own oldest, and nothing of another's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually } from "@bulkhead/testkit";
import { jetstreamManager } from "@nats-io/jetstream";
import { BusFixture, eventHeaders } from "../bus/bus-fixture.ts";

const MIB = 1024 * 1024;

test("a full stream loses its own oldest, and nothing of another's", async () => {
  await using fixture = await BusFixture.open({ limits: { streams: { eventBytes: 2 * MIB } } });
  const manager = await jetstreamManager(await fixture.direct("platform"), { checkAPI: false });
  const state = async (name: string) => (await manager.streams.info(name)).state;
  const quiet = await fixture.client("evil");
  for (let n = 0; n < 10; n += 1) {
    quiet.publish("ev.evil.suricata.dns", "{}", { headers: eventHeaders(`quiet-${n}`, "suricata.dns") });
  }
  await eventually("the quiet one's events", async () => (await state("EV_evil")).messages === 10);
  const loud = await fixture.client("ids");
  const payload = JSON.stringify({ filler: "x".repeat(20_000) });
  for (let n = 0; n < 400; n += 1) {
    loud.publish("ev.ids.suricata.dns", payload, { headers: eventHeaders(`loud-${n}`, "suricata.dns") });
  }
  await eventually("the loud one's last", async () => (await state("EV_ids")).last_seq === 400);
  const { first_seq: first, bytes, messages } = await state("EV_ids");
  assert.ok(bytes <= 2 * MIB && messages < 400 && first > 1, `${messages} from ${first}, ${bytes} bytes`);
  assert.equal(messages, 400 - first + 1, "the oldest went, one after the other");
  assert.equal((await state("EV_evil")).messages, 10);

  const store = await fixture.bus.store();
  assert.equal((await store.facts("EV_ids"))?.firstSequence, first);
  assert.equal(await store.purge("EV_ids", first + 1), 2, "and by the platform's word, up to a sequence");
  assert.equal((await store.facts("EV_ids"))?.firstSequence, first + 2);
  assert.equal(await store.facts("EV_nobody"), null);
});
