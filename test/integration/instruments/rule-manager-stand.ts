/**
 * A stand for the rule manager: its agent as a process between the real broker, gates, desk and shelf; a
 * publisher of feeds, and IDS that are played, with what suricata's agent takes of a rule manager.
 */
import { once } from "node:events";
import { mkdir, readFile, rm } from "node:fs/promises";
import { connect, type ClientHttp2Session } from "node:http2";
import { createServer } from "node:net";
import { join } from "node:path";
import { takeRuleManager } from "@bulkhead/instrument-suricata";
import type { ConfigAnswer, Manifest, Name, RulesetRequest } from "@bulkhead/schema";
import type { InstrumentContext, InstrumentHandle } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import { type AgentProcess, bundleAgent, runAgent } from "../sdk/agent-process.ts";
import { resourceStand, type ResourceStand } from "../resources/resource-stand.ts";

const FEED = "ruleset.feed";
const IDS = ["ids-a", "ids-b"] as const;
const VERBS = ["ruleset.check", "ruleset.apply"];

/** An IDS that finds fault with rules that hold a word, and remembers what it runs. */
export class PlayedIds {
  readonly name: Name;
  running = "";
  /** Refuses what it passed. */
  refusesToApply = false;
  readonly asked: string[] = [];

  constructor(name: Name) {
    this.name = name;
  }

  get sids(): readonly number[] {
    return Array.from(this.running.matchAll(/sid:(\d+);/g), (match) => Number(match[1]));
  }

  async checkSet({ name }: RulesetRequest, path: string) {
    this.asked.push(`check ${name}`);
    const text = await readFile(path, "utf8");
    const line = text.split("\n").findIndex((each) => each.includes("nonsense")) + 1;
    const findings = line > 0 ? [{ line, message: "unknown rule keyword 'nonsense'." }] : [];
    return { ok: line === 0, rules: text.split("\n").length - 1, findings };
  }

  async applySet({ name }: RulesetRequest, path: string) {
    this.asked.push(`apply ${name}`);
    const text = await readFile(path, "utf8");
    if (this.refusesToApply) {
      return { outcome: "refused" as const, rules: 0, findings: [{ line: null, message: "no memory" }] };
    }
    this.running = text;
    return { outcome: "applied" as const, rules: text.split("\n").length - 1, findings: [] };
  }
}

export class RuleManagerStand implements AsyncDisposable {
  readonly stand: ResourceStand;
  readonly ids: Readonly<Record<(typeof IDS)[number], PlayedIds>>;
  readonly #stack: AsyncDisposableStack;
  readonly #agentFile: string;
  readonly #dir: string;
  readonly #feeds: InstrumentContext;
  readonly #handles = new Map<string, InstrumentHandle>();
  #session = Promise.withResolvers<ClientHttp2Session>();
  #configured = 0;

  private constructor(
    parts: Pick<RuleManagerStand, "stand" | "ids"> & {
      agentFile: string;
      dir: string;
      feeds: InstrumentContext;
    },
    stack: AsyncDisposableStack,
  ) {
    this.stand = parts.stand;
    this.ids = parts.ids;
    this.#agentFile = parts.agentFile;
    this.#dir = parts.dir;
    this.#feeds = parts.feeds;
    this.#stack = stack;
  }

  /** `dir` is the caller's; `needs` are those of the real manifests. */
  static async open(
    dir: string,
    needs: { readonly ruleManager: Manifest["needs"]; readonly suricata: Manifest["needs"] },
  ): Promise<RuleManagerStand> {
    await using stack = new AsyncDisposableStack();
    const peers = IDS.map((name) => ({ name, package: "suricata", state: "running" as const }));
    const stand = stack.use(
      await resourceStand({
        instruments: [
          { name: "feeds", needs: [{ id: "out", kind: "resource.publish", type: FEED, size: 64 * 2 ** 20 }] },
          { name: "rules", needs: needs.ruleManager },
          ...IDS.map((name) => ({ name, needs: needs.suricata })),
        ],
        grants: [
          { from: "feeds", type: FEED, to: "rules" },
          ...IDS.map((to) => ({ from: "rules", type: "ruleset.suricata", to })),
        ],
        messages: IDS.flatMap((to) => VERBS.map((verb) => ({ from: "rules", verb, to }))),
        find: (from, { type }) => ({ ok: true, peers: from === "rules" && type === "suricata" ? peers : [] }),
        // Every test's feeds come from one publisher, faster than a downloader's would.
        limits: { opensPerSecond: 100 },
      }),
    );
    await mkdir(join(dir, "data/rules"), { recursive: true });
    const agentFile = await bundleAgent("rule-manager", dir);
    const feeds = Promise.withResolvers<InstrumentContext>();
    await stand.start("feeds", feeds.resolve);
    const ids = { "ids-a": new PlayedIds("ids-a"), "ids-b": new PlayedIds("ids-b") };
    const made = new RuleManagerStand(
      { stand, ids, agentFile, dir, feeds: await feeds.promise },
      stack.move(),
    );
    for (const name of IDS) await made.startIds(name);
    await made.#openDoor();
    return made;
  }

  async startIds(name: (typeof IDS)[number]): Promise<void> {
    this.#handles.set(
      name,
      await this.stand.start(name, (context) => takeRuleManager(context, this.ids[name])),
    );
  }

  async stopIds(name: (typeof IDS)[number]): Promise<void> {
    await this.#handles.get(name)?.stop();
  }

  /** The rule manager's process, greeted. */
  async start(): Promise<AgentProcess> {
    const { hellos } = this.stand.fixture;
    const before = hellos.length;
    this.#session = Promise.withResolvers();
    const agent = runAgent([process.execPath, this.#agentFile], {
      BULKHEAD_INSTRUMENT: "rules",
      BULKHEAD_BUS_SOCKET: this.stand.fixture.socketPath("rules"),
      BULKHEAD_UI_SOCKET: join(this.#dir, "ui.sock"),
      BULKHEAD_DATA_DIR: join(this.#dir, "data"),
      BULKHEAD_INBOX_DIR: join(this.#dir, "inbox"),
      BULKHEAD_RESOURCES_DIR: join(this.stand.receiversDir, "rules"),
    });
    this.#stack.use(agent);
    await eventually("hello", () => hellos.slice(before).includes("rules"));
    return agent;
  }

  async configure(config: Readonly<Record<string, unknown>> = {}): Promise<ConfigAnswer> {
    const version = `v${(this.#configured += 1)}`;
    const command = { version, config, retentionMs: null, files: null };
    return this.stand.fixture.bus.sendConfig("rules", command, {
      timeoutMs: 30_000,
      signal: AbortSignal.timeout(30_000),
    });
  }

  async publish(content: string | Buffer, name = "et"): Promise<string> {
    const body = Buffer.from(content);
    const bytes = (async function* () {
      yield body;
    })();
    return (await this.#feeds.deliver({ type: FEED, name, sizeBytes: body.length, body: bytes })).version;
  }

  async get(path: string): Promise<Record<string, unknown>> {
    return (await this.#ask("GET", path)).body;
  }

  post(path: string, role = "operator") {
    return this.#ask("POST", path, { "bulkhead-user": "anna", "bulkhead-role": role });
  }

  /** Until the newest rollout is in this state. */
  async untilNewest(state: string, atLeast = 0): Promise<number> {
    return eventually(
      `a rollout that is ${state}`,
      async () => {
        const { rollouts } = await this.get("/v1/history?limit=1");
        const [newest] = rollouts as readonly { readonly id: number; readonly state: string }[]; // as api.ts makes it
        return newest?.state === state && newest.id > atLeast ? newest.id : null;
      },
      30_000,
    );
  }

  async #ask(method: string, path: string, headers: Readonly<Record<string, string>> = {}) {
    const session = await this.#session.promise;
    const stream = session.request({ ":method": method, ":path": path, ...headers }).setEncoding("utf8");
    const [head] = (await once(stream, "response")) as [Readonly<Record<string, unknown>>];
    let text = "";
    for await (const chunk of stream) text += String(chunk);
    return { status: Number(head[":status"]), body: JSON.parse(text) as Record<string, unknown> };
  }

  async #openDoor(): Promise<void> {
    const path = join(this.#dir, "ui.sock");
    const server = createServer((socket) => {
      const session = connect("http://rules", { createConnection: () => socket });
      session.on("error", () => undefined);
      this.#session.resolve(session);
      this.#stack.defer(() => session.destroy());
    });
    server.listen(path);
    await once(server, "listening");
    this.#stack.defer(() => void server.close());
    this.#stack.defer(() => rm(path, { force: true }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }
}
