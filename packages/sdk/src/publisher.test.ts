import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { PublishAnswer, PublishPort } from "./publish-port.ts";
import { Publisher } from "./publisher.ts";

/** What the broker does with one message: stores it, loses it, stores it but loses the answer, or refuses it. */
type Fate = "store" | "lose" | "mute" | "refuse" | "busy";

/** A broker with one stream and deduplication by id, whose fates run out into `store`. */
class Broker implements PublishPort {
  readonly connected = true;
  readonly stored: string[] = [];
  sends = 0;
  readonly #fates: Fate[];
  readonly #sequences = new Map<string, number>();
  readonly #waiting = new Map<string, (answer: PublishAnswer) => void>();

  constructor(fates: readonly Fate[] = []) {
    this.#fates = [...fates];
  }

  whenConnected(): Promise<void> {
    return Promise.resolve();
  }

  send(_subject: string, record: Uint8Array, header: Uint8Array, reply?: string): void {
    this.sends += 1;
    const id = /Nats-Msg-Id: (\S+)/.exec(Buffer.from(header).toString("latin1"))?.[1] ?? "";
    const fate = this.#fates.shift() ?? "store";
    const settle = (answer: PublishAnswer): void => this.#waiting.get(reply ?? "")?.(answer);
    if (fate === "lose") return;
    if (fate === "refuse") return settle({ kind: "refused", reason: "no" });
    if (fate === "busy") return settle({ kind: "busy", reason: "full" });
    const known = this.#sequences.get(id);
    if (known === undefined) {
      this.stored.push(Buffer.from(record).toString());
      this.#sequences.set(id, this.stored.length);
    }
    if (fate === "mute") return;
    settle({ kind: "stored", sequence: known ?? this.stored.length, duplicate: known !== undefined });
  }

  expectAnswer(timeoutMs: number): { readonly reply: string; readonly answer: Promise<PublishAnswer> } {
    const reply = String(this.#waiting.size);
    const { promise, resolve } = Promise.withResolvers<PublishAnswer>();
    this.#waiting.set(reply, resolve);
    setTimeout(() => resolve({ kind: "silent" }), timeoutMs);
    return { reply, answer: promise };
  }
}

const OPTIONS = { instrument: "ids", lingerMs: 0, answerTimeoutMs: 5, maxBatch: 7 };
const TIME = "2026-01-02T03:04:05Z";

function offer(publisher: Publisher, count: number): readonly string[] {
  return Array.from({ length: count }, (_, n) => {
    publisher.offer({ type: "a.b", time: TIME, record: Buffer.from(`r${n}`) });
    return `r${n}`;
  });
}

test("whatever is lost on the way, in either direction: what is acknowledged is stored, once", async () => {
  const fate = fc.constantFrom<Fate>("store", "store", "lose", "mute", "busy");
  await fc.assert(
    fc.asyncProperty(
      fc.array(fate, { maxLength: 25 }),
      fc.integer({ min: 1, max: 20 }),
      async (fates, count) => {
        const broker = new Broker(fates);
        const publisher = new Publisher(broker, OPTIONS);
        const offered = offer(publisher, count);
        await publisher.flush();
        const { acknowledged, refused, waiting } = publisher.counts();
        // An event that nobody answers for, while others are stored, counts as refused in the end; it may be stored.
        assert.equal(acknowledged + refused, count);
        assert.equal(waiting, 0);
        assert.equal(new Set(broker.stored).size, broker.stored.length, "once");
        assert.ok(broker.stored.length >= acknowledged);
        assert.ok(broker.stored.every((record) => offered.includes(record)));
        await publisher.close(10);
      },
    ),
    { numRuns: 25 },
  );
});

test("a proven batch costs one answer, and the order is kept", async () => {
  const broker = new Broker();
  const publisher = new Publisher(broker, { ...OPTIONS, maxBatch: 500 });
  const first = offer(publisher, 1);
  await publisher.flush();
  const rest = offer(publisher, 1_200);
  await publisher.flush();
  assert.equal(broker.sends, 1_201, "each is sent once");
  assert.deepEqual(broker.stored, [...first, ...rest]);
  assert.deepEqual(publisher.counts(), { acknowledged: 1_201, refused: 0, waiting: 0 });
  await publisher.close(10);
});

test("what the broker refuses is counted and told, and does not hold up what follows", async () => {
  const refused: string[] = [];
  const broker = new Broker(["store", "refuse"]);
  const onRefused = (type: string, reason: string): void => void refused.push(`${type}: ${reason}`);
  const publisher = new Publisher(broker, { ...OPTIONS, onRefused });
  offer(publisher, 5);
  await publisher.flush();
  assert.deepEqual(broker.stored, ["r0", "r2", "r3", "r4"]);
  assert.deepEqual(publisher.counts(), { acknowledged: 4, refused: 1, waiting: 0 });
  assert.deepEqual(refused, ["a.b: no"]);
  await publisher.close(10);
});

test("a type that is not granted or was denied is refused without a word to the broker", async () => {
  const broker = new Broker();
  const publisher = new Publisher(broker, OPTIONS);
  publisher.allow({ sensor: "lab", emits: ["a.b"] });
  publisher.offer({ type: "a.c", time: TIME, record: Buffer.from("x") });
  publisher.deny("ev.ids.a.b");
  offer(publisher, 1);
  assert.deepEqual(publisher.counts(), { acknowledged: 0, refused: 2, waiting: 0 });
  publisher.allow({ sensor: "lab", emits: ["a.b"] });
  offer(publisher, 1);
  await publisher.flush();
  assert.equal(broker.sends, 1);
  await publisher.close(10);
});

test("a queue that is full by count or by bytes has no room until something left", async () => {
  const broker = new Broker();
  const limits = { maxWaiting: 3, maxWaitingBytes: 100 };
  const publisher = new Publisher(broker, { ...OPTIONS, ...limits });
  const record = Buffer.alloc(60, 0x61);
  assert.equal(publisher.offer({ type: "a.b", time: TIME, record }), true);
  assert.equal(publisher.offer({ type: "a.b", time: TIME, record }), false);
  await publisher.room();
  assert.equal(publisher.counts().waiting < 2, true);
  await publisher.close(10);
});
