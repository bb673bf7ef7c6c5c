/** From feeds to what is in force, with IDS that are played: what passes, what is held, and what comes back. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import type { RulesetRequest } from "@bulkhead/schema";
import { FeedIntake } from "./feed/feed-intake.ts";
import type { Asked, IdsPort } from "./ids-port.ts";
import { Manager } from "./manager.ts";
import { Roller } from "./roller.ts";
import { Settings } from "./settings.ts";
import type { Rollout } from "./store/rollout.ts";
import { SetFiles, sha256Of } from "./store/set-files.ts";
import { Store } from "./store/store.ts";

type Answer = "good" | "bad" | "away" | "unknown";

/** An IDS that remembers what it runs, and finds fault with rules that hold a word. */
class PlayedIds implements IdsPort {
  readonly running = new Map<string, string>();
  readonly asked: string[] = [];
  names: readonly string[] = ["ids-a", "ids-b"];
  answers: Readonly<Record<string, Answer>> = {};
  applyAnswers: Readonly<Record<string, Answer>> = {};
  /** Ends the process, as it were, when this is about to be done. */
  dieAt: string | null = null;
  isDead = false;
  readonly #delivered = new Map<string, string>();
  #serial = 0;

  readonly peers = async () => this.names;

  readonly deliver: IdsPort["deliver"] = async (name, text, sha256) => {
    this.#note(`deliver ${name}`);
    assert.equal(sha256Of(text), sha256);
    const version = `${(this.#serial += 1)}-${sha256.slice(0, 12)}`;
    this.#delivered.set(version, text);
    return { kind: "delivered", version };
  };

  readonly check: IdsPort["check"] = async (ids, request) => {
    this.#note(`check ${ids}`);
    const text = this.#textOf(request);
    return this.#answer(this.answers[ids], () => {
      const line = text.split("\n").findIndex((each) => each.includes("nonsense")) + 1;
      const findings = line > 0 ? [{ line, message: "unknown rule keyword" }] : [];
      return { ok: line === 0, rules: 1, findings };
    });
  };

  readonly apply: IdsPort["apply"] = async (ids, request) => {
    this.#note(`apply ${ids}`);
    const text = this.#textOf(request);
    return this.#answer(this.applyAnswers[ids], () => {
      const isBad = this.applyAnswers[ids] === "bad";
      if (!isBad) this.running.set(ids, text);
      const outcome = isBad ? ("refused" as const) : ("applied" as const);
      return { outcome, rules: 1, findings: isBad ? [{ line: null, message: "no memory" }] : [] };
    });
  };

  sids(ids: string): readonly number[] {
    return Array.from((this.running.get(ids) ?? "").matchAll(/sid:(\d+);/g), (match) => Number(match[1]));
  }

  #answer<Reply>(how: Answer | undefined, reply: () => Reply): Asked<Reply> {
    if (how === "away" || how === "unknown") return { kind: how, detail: `${how} at this time` };
    return { kind: "answered", reply: reply() };
  }

  #textOf({ version, sha256 }: RulesetRequest): string {
    const text = this.#delivered.get(version) ?? assert.fail(`not delivered: ${version}`);
    assert.equal(sha256Of(text), sha256);
    return text;
  }

  #note(what: string): void {
    this.isDead ||= this.dieAt === what;
    if (this.isDead) throw new Error("killed");
    this.asked.push(what);
  }
}

class Place implements AsyncDisposable {
  readonly ids = new PlayedIds();
  readonly dir: string;
  attention = "";
  store: Store;
  manager: Manager;
  #files: SetFiles;
  #deliveries = 0;

  private constructor(dir: string, files: SetFiles) {
    this.dir = dir;
    this.#files = files;
    this.store = new Store(join(dir, "db.sqlite"));
    this.manager = this.#manager();
  }

  static async open(): Promise<Place> {
    const dir = await mkdtemp(join(tmpdir(), "bh-test-rule-manager-"));
    return new Place(dir, await SetFiles.open(dir));
  }

  /** A process anew, on the same volume. */
  restart(): void {
    this.store[Symbol.dispose]();
    this.store = new Store(join(this.dir, "db.sqlite"));
    this.manager = this.#manager();
  }

  async configure(settings: unknown = {}, version = "v1", local = ""): Promise<void> {
    const localRules = local === "" ? [] : [{ file: "local.rules", text: local }];
    const conf = { enable: [], disable: [], drop: [], modify: [] };
    this.manager.configure({ settings: Settings.parse(settings), version, localRules, conf });
    await this.manager.goOn();
  }

  async feed(content: string | Buffer, name = "et"): Promise<void> {
    this.#deliveries += 1;
    const path = join(this.dir, `delivery-${this.#deliveries}`);
    await writeFile(path, content);
    await this.manager.takeFeed({
      from: "downloader",
      name,
      version: `${this.#deliveries}-${"0".repeat(12)}`,
      sha256: sha256Of(content),
      sizeBytes: content.length,
      path,
      deliveredAt: new Date(1_700_000_000_000 + this.#deliveries * 1_000).toISOString(),
    });
    await this.manager.goOn();
  }

  newest(): Rollout {
    return this.store.rollouts(1)[0] ?? assert.fail("no rollout");
  }

  #manager(): Manager {
    let clock = 0;
    const parts = {
      store: this.store,
      files: this.#files,
      ids: this.ids,
      now: () => new Date(1_700_000_000_000 + (clock += 1) * 1_000).toISOString(),
      say: () => undefined,
      retryMs: 1,
    };
    const roller = new Roller(parts);
    const feeds = new FeedIntake(parts);
    return new Manager({ ...parts, feeds, roller, onChange: (attention) => (this.attention = attention) });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.store[Symbol.dispose]();
    await rm(this.dir, { recursive: true, force: true });
  }
}

function rules(...sids: readonly number[]): string {
  return sids.map((sid) => `alert tcp any any -> any any (msg:"rule ${sid}"; sid:${sid}; rev:1;)\n`).join("");
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from + 1 }, (_, index) => from + index);
}

const BROKEN = rules(1).replace("sid:1", "nonsense; sid:1");

test("a feed becomes a set at every IDS: checked at all, then applied at one after the other", async () => {
  await using place = await Place.open();
  await place.configure({ disable: ["2"] }, "v1", rules(90));
  await place.feed(rules(1, 2, 3));
  assert.deepEqual(place.ids.sids("ids-a"), [1, 3, 90]);
  assert.deepEqual(place.ids.sids("ids-b"), [1, 3, 90]);
  const { state, why, who, counts } = place.newest();
  assert.deepEqual(
    [state, why.split(" ").slice(0, 2).join(" "), who],
    ["applied", "feed et", "rule-manager"],
  );
  assert.deepEqual(counts, { added: 2, removed: 0, changed: 0 });
  assert.deepEqual(place.ids.asked.slice(-5), [
    "deliver all",
    "check ids-a",
    "check ids-b",
    "apply ids-a",
    "apply ids-b",
  ]);
  const asked = place.ids.asked.length;
  await place.feed(rules(1, 2, 3));
  await place.configure({ disable: ["2"] }, "v2", rules(90));
  assert.equal(place.ids.asked.length, asked, "the same again changes nothing");
});

test("what an IDS finds is told by the source's file and line, and nothing is applied", async () => {
  await using place = await Place.open();
  await place.configure();
  await place.feed(rules(5, 6));
  await place.feed(`# a remark\n${rules(5, 6)}${BROKEN}`);
  const { state, findings, targets } = place.newest();
  assert.equal(state, "refused");
  assert.deepEqual(
    targets.map((target) => target.state),
    ["refused", "refused"],
  );
  assert.deepEqual(findings[0], {
    place: { source: "et", file: "et.rules", line: 4 },
    message: "ids-a: unknown rule keyword",
  });
  assert.deepEqual(place.ids.sids("ids-a"), [5, 6]);
  const asked = place.ids.asked.length;
  await place.configure({}, "v2");
  assert.equal(place.ids.asked.length, asked, "what was refused is not tried again by itself");
  await place.manager.apply("anna");
  await place.manager.goOn();
  assert.ok(place.ids.asked.length > asked, "an operator may have it tried again");
});

test("empty, cut, damaged and unreadable feeds never take the place of a good one", async () => {
  await using place = await Place.open();
  await place.configure();
  const good = rules(...range(1, 20));
  await place.feed(good);
  for (const [bad, reason] of [
    ["", /no rules/],
    ["# nothing\n", /no rules/],
    [good.slice(0, -20), /cut short/],
    [gzipSync(good).subarray(0, -10), /cut short/],
    [good + "nonsense\n".repeat(10) + rules(21), /32\.3 % of its lines/],
    [Buffer.concat([Buffer.from([0x1f, 0x8b]), Buffer.from("no gzip")]), /damaged/],
  ] as const) {
    await assert.rejects(place.feed(bad), reason);
    assert.match(place.attention, reason);
    await place.configure({ disable: ["1"] }, "v2");
    assert.equal(place.ids.sids("ids-a").length, 19, "another build uses the good one");
    await place.configure();
    assert.equal(place.ids.sids("ids-a").length, 20);
  }
  await place.feed(gzipSync(rules(...range(1, 21))));
  assert.equal(place.ids.sids("ids-b").length, 21);
  assert.equal(place.attention, "");
});

test("a feed or set that lost too many rules waits for an operator", async () => {
  await using place = await Place.open();
  await place.configure();
  await place.feed(rules(...range(1, 100)));
  await place.feed(rules(...range(1, 79)));
  assert.match(place.attention, /feed et: it has 79 rules, 21\.0 % less/);
  assert.equal(place.ids.sids("ids-a").length, 100);
  assert.equal((await place.manager.acceptShrink("anna")).outcome, "started");
  await place.manager.goOn();
  assert.equal(place.ids.sids("ids-b").length, 79);
  assert.equal(place.newest().who, "anna");
  await place.configure({ disable: ["re:rule [1-4]"] }, "v2");
  assert.equal(place.newest().state, "held");
  assert.equal(place.ids.sids("ids-a").length, 79);
  await place.manager.acceptShrink("anna");
  await place.manager.goOn();
  assert.equal(place.newest().state, "applied");
  assert.ok(place.ids.sids("ids-a").length < 50);
});

test("an IDS that refuses has those before it go back to what they had", async () => {
  await using place = await Place.open();
  await place.configure();
  await place.feed(rules(1, 2));
  for (const answer of ["bad", "unknown"] as const) {
    place.ids.applyAnswers = { "ids-b": answer };
    await place.feed(rules(1, 2, answer === "bad" ? 3 : 4));
    assert.deepEqual(place.ids.sids("ids-a"), [1, 2], answer);
    const { state, reason, targets } = place.newest();
    assert.equal(state, "refused");
    assert.match(reason, /^ids-b: /);
    assert.equal(targets[0]?.state, "reverted");
  }
  place.ids.applyAnswers = {};
  await place.feed(rules(1, 2, 5));
  assert.deepEqual(place.ids.sids("ids-b"), [1, 2, 5]);
});

test("an IDS that is away holds nobody up, and gets the set when it is back", async () => {
  await using place = await Place.open();
  await place.configure();
  place.ids.answers = { "ids-b": "away" };
  await place.feed(rules(1));
  assert.deepEqual([place.ids.sids("ids-a"), place.ids.sids("ids-b")], [[1], []]);
  await place.manager.catchUp(["ids-a", "ids-b"]);
  await place.manager.goOn();
  assert.equal(place.newest().state, "checking");
  place.ids.answers = {};
  await place.manager.goOn();
  assert.deepEqual(place.ids.sids("ids-b"), [1]);
  assert.equal(place.newest().onlyFor, "ids-b");
  const asked = place.ids.asked.length;
  await place.manager.catchUp(["ids-a", "ids-b"]);
  await place.manager.goOn();
  assert.equal(place.ids.asked.length, asked);
});

test("nobody there: it waits, and a newer feed takes the place of what waits", async () => {
  await using place = await Place.open();
  place.ids.names = [];
  await place.configure();
  await place.feed(rules(1));
  assert.equal(place.newest().state, "checking");
  assert.match(place.attention, /no IDS is granted/);
  await place.feed(rules(1, 2));
  assert.deepEqual(
    place.store.rollouts(9).map(({ state }) => state),
    ["checking", "superseded"],
  );
  place.ids.names = ["ids-a"];
  await place.manager.goOn();
  assert.deepEqual(place.ids.sids("ids-a"), [1, 2]);
});

test("an operator takes a set back, and it does not come again by itself", async () => {
  await using place = await Place.open();
  await place.configure();
  await place.feed(rules(1));
  assert.equal((await place.manager.rollBack("anna")).outcome, "nothing");
  await place.feed(rules(1, 2));
  assert.equal((await place.manager.rollBack("anna")).outcome, "started");
  await place.manager.goOn();
  assert.deepEqual(place.ids.sids("ids-a"), [1]);
  await place.configure({}, "v2");
  assert.deepEqual(place.ids.sids("ids-a"), [1]);
  assert.deepEqual(
    place.store.rollouts(9).map(({ state, who }) => [state, who]),
    [
      ["applied", "anna"],
      ["withdrawn", "rule-manager"],
      ["applied", "rule-manager"],
    ],
  );
  await place.manager.apply("anna");
  await place.manager.goOn();
  assert.deepEqual(place.ids.sids("ids-a"), [1, 2]);
});

test("an IDS for which more counts has a set of its own", async () => {
  await using place = await Place.open();
  await place.configure({ overrides: [{ ids: "ids-b", disable: ["2"], modify: ['1 "rule 1" "quiet"'] }] });
  await place.feed(rules(1, 2));
  assert.deepEqual([place.ids.sids("ids-a"), place.ids.sids("ids-b")], [[1, 2], [1]]);
  assert.match(place.ids.running.get("ids-b") ?? "", /quiet/);
});

test("without autoApply a set waits until an operator applies it", async () => {
  await using place = await Place.open();
  await place.configure({ autoApply: false });
  await place.feed(rules(1));
  assert.equal(place.newest().state, "waiting");
  assert.deepEqual(place.ids.sids("ids-a"), []);
  await place.manager.apply("anna");
  await place.manager.goOn();
  assert.deepEqual(place.ids.sids("ids-a"), [1]);
});

test("killed at any step, it goes on from what is recorded, and both IDS end with the same set", async () => {
  for (const dieAt of ["deliver all", "check ids-a", "check ids-b", "apply ids-a", "apply ids-b"]) {
    await using place = await Place.open();
    await place.configure();
    await place.feed(rules(1));
    place.ids.dieAt = dieAt;
    await assert.rejects(place.feed(rules(1, 2)), /killed/, dieAt);
    place.restart();
    place.ids.dieAt = null;
    place.ids.isDead = false;
    await place.manager.goOn();
    assert.deepEqual(
      [place.ids.sids("ids-a"), place.ids.sids("ids-b")],
      [
        [1, 2],
        [1, 2],
      ],
      dieAt,
    );
    assert.equal(place.newest().state, "applied");
  }
  await using place = await Place.open();
  await place.configure();
  await place.feed(rules(1));
  place.ids.applyAnswers = { "ids-b": "bad" };
  await place.feed(rules(1, 2)).catch(() => undefined);
  assert.deepEqual([place.ids.sids("ids-a"), place.ids.sids("ids-b")], [[1], [1]]);
});

test("what the platform tells again after a restart does not bring an older version back", async () => {
  await using place = await Place.open();
  await place.configure();
  await place.feed(rules(1));
  await place.feed(rules(1, 2));
  const [accepted] = place.store.feeds();
  await place.manager.takeFeed({
    from: "downloader",
    name: "et",
    version: `1-${"0".repeat(12)}`,
    sha256: sha256Of(rules(1)),
    sizeBytes: 1,
    path: join(place.dir, "delivery-1"),
    deliveredAt: new Date(1_700_000_001_000).toISOString(),
  });
  assert.deepEqual(place.store.feeds(), [accepted]);
});

test("however many sets were refused since, what is in force and what was before it stay at hand", async () => {
  await using place = await Place.open();
  place.ids.names = ["ids-b"];
  // Its set for all lies at no IDS.
  await place.configure({ overrides: [{ ids: "ids-b", disable: ["2"] }] });
  await place.feed(rules(1, 2));
  await place.feed(rules(1, 2, 3));
  for (let sid = 50; sid < 62; sid += 1) await place.feed(rules(1, 2, 3, sid) + BROKEN.replaceAll("1", "99"));
  assert.equal(place.newest().state, "refused");
  await place.feed(rules(1, 2, 3, 4));
  assert.deepEqual(place.ids.sids("ids-b"), [1, 3, 4]);
  await place.manager.rollBack("anna");
  await place.manager.goOn();
  assert.deepEqual(place.ids.sids("ids-b"), [1, 3]);
});
