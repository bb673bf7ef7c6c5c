/**
 * Fake warden: the table of WARDEN_VERBS on a Unix socket, played by the test. It does nothing to
 * the host; it remembers what it was asked.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { rm } from "node:fs/promises";
import { AUDIT_GENESIS, type AuditTip, sealEntry } from "@bulkhead/core";
import {
  type ApplyOutcome,
  AuditEntry,
  type AuditPage,
  AuditReading,
  FilterQuestion,
  InstrumentOrder,
  NOTHING_OBSERVED,
  type TapCounters,
  VolumeQuestion,
  type VolumeUse,
  WARDEN_VERBS,
  type WardenState,
  type WardenVerb,
} from "@bulkhead/schema";

export const EMPTY_STATE: WardenState = {
  revision: 1,
  site: null,
  stopped: [],
  observed: { ...NOTHING_OBSERVED, devices: ["eth1"] },
  crashes: [],
  problems: [],
  lastSteps: [],
  vault: { state: "unlocked", method: "file", problem: null },
  erasures: [],
  pending: [],
};

type SensordVerb = {
  [V in WardenVerb]: "sensord" extends (typeof WARDEN_VERBS)[V]["sockets"][number] ? V : never;
}[WardenVerb];
type Handler = (body: unknown, response: ServerResponse) => unknown;

export class FakeWarden implements AsyncDisposable {
  readonly #path: string;
  readonly #watchers = new Set<ServerResponse>();
  #server: Server | null = null;
  state: WardenState = EMPTY_STATE;
  taps: readonly TapCounters[] = [];
  audits: AuditEntry[] = [];
  orders: string[] = [];
  /** What lies on each instrument's volumes, and whose births were asked for. */
  volumes: Readonly<Record<string, readonly VolumeUse[]>> = {};
  births: string[] = [];
  /** What the next apply does. */
  onApply: () => ApplyOutcome = () => ({
    outcome: "failed",
    step: null,
    code: "site-not-staged",
    message: "nothing is staged",
  });
  /** Answered instead, with this status, while set. */
  refusal: { readonly status: number; readonly body: unknown } | null = null;
  /** Lines sent raw to watchers in place of a state. */
  readonly #handlers: Readonly<Record<SensordVerb, Handler>> = {
    state: () => this.state,
    watch: (_body, response) => this.#watch(response),
    counters: () => ({ taps: this.taps }),
    network: () => ({ ports: [] }),
    apply: () => this.onApply(),
    start: (body) => this.#order("start", body),
    stop: (body) => this.#order("stop", body),
    restart: (body) => this.#order("restart", body),
    filters: (body) => {
      const { expressions } = FilterQuestion.parse(body);
      const bad = expressions.filter((expression) => expression.includes("prot"));
      return { rejected: Object.fromEntries(bad.map((e) => [e, "syntax error"])) };
    },
    audit: (body) => {
      this.audits.push(AuditEntry.parse(body));
      return { ok: true };
    },
    auditRead: (body) => this.#readAudit(body),
    volumeUse: (body) => {
      const { instrument, births } = VolumeQuestion.parse(body);
      this.births.push(...births.map((id) => `${instrument}/${id}`));
      return { volumes: this.volumes[instrument] ?? [] };
    },
  };

  constructor(path: string) {
    this.#path = path;
  }

  async start(): Promise<void> {
    await rm(this.#path, { force: true });
    const server = createServer((request, response) => void this.#answer(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#path, resolve);
    });
    this.#server = server;
  }

  /** As if it was killed. */
  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = null;
    this.#watchers.clear();
    if (server === null) return;
    server.closeAllConnections();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  set(change: Partial<WardenState>): void {
    this.state = { ...this.state, ...change, revision: this.state.revision + 1 };
    this.sendRaw(`${JSON.stringify(this.state)}\n`);
  }

  sendRaw(text: string): void {
    for (const watcher of this.#watchers) watcher.write(text);
  }

  /** What sensord handed in, as warden would chain it. */
  #readAudit(body: unknown): AuditPage {
    const { after, limit } = AuditReading.parse(body);
    let tip: AuditTip = AUDIT_GENESIS;
    const records = this.audits.map((entry) => {
      const record = sealEntry(entry, "sensord", "2026-01-01T00:00:00.000Z", tip);
      tip = record;
      return record;
    });
    const from = after ?? Math.max(0, records.length - limit);
    return { entries: records.slice(from, from + limit), newest: records.length };
  }

  #watch(response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    response.write(`${JSON.stringify(this.state)}\n`);
    this.#watchers.add(response);
    response.on("close", () => this.#watchers.delete(response));
  }

  #order(verb: string, body: unknown): unknown {
    this.orders.push(`${verb} ${InstrumentOrder.parse(body).instrument}`);
    return { ok: true };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
    const found = Object.entries(WARDEN_VERBS).find(
      ([, verb]) => verb.path === request.url && verb.method === request.method,
    );
    const handler = found === undefined ? undefined : this.#handlers[found[0] as SensordVerb]; // a miss is undefined
    if (this.refusal !== null || handler === undefined) {
      const { status, body } = this.refusal ?? { status: 404, body: { code: "no-verb", message: "" } };
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
      return;
    }
    const text = Buffer.concat(chunks).toString("utf8");
    const answer = handler(text === "" ? null : JSON.parse(text), response);
    if (answer === undefined) return;
    response.writeHead(200, { "content-type": "application/json" });
    response.end(JSON.stringify(answer));
  }
}
