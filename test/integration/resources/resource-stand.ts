/**
 * A stand for resources: the real broker, gates, desk and shelf, and instruments that publish and receive:
 * those of the SDK, and clients that do as they please.
 */
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BusInstrument } from "@bulkhead/core";
import {
  ChunkAnswer,
  CloseAnswer,
  DeliveryOpened,
  type FindAnswer,
  type Name,
  type Need,
  type Site,
} from "@bulkhead/schema";
import { type InstrumentContext, type InstrumentHandle, startInstrument } from "@bulkhead/sdk";
import { eventually } from "@bulkhead/testkit";
import type { NatsConnection } from "@nats-io/transport-node";
import * as z from "zod";
import type { InstrumentServices } from "../../../packages/sensord/src/bus/instrument-services.ts";
import { SILENT } from "../../../packages/sensord/src/log.ts";
import {
  DEFAULT_RESOURCE_LIMITS,
  type ResourceLimits,
} from "../../../packages/sensord/src/resources/limits.ts";
import { Resources } from "../../../packages/sensord/src/resources/resources.ts";
import { BusFixture } from "../bus/bus-fixture.ts";

export const FEED = "ruleset.feed";
export const KIB = 1024;
export const MIB = KIB * KIB;
const publish = (type: string, size: number): Need => ({ id: "out", kind: "resource.publish", type, size });
const receive = (type: string, size: number): Need => ({ id: "in", kind: "resource.receive", type, size });

export const INSTRUMENTS: readonly BusInstrument[] = [
  { name: "feeds", needs: [publish(FEED, 8 * MIB), publish("watch-list", KIB)] },
  { name: "rules", needs: [receive(FEED, 8 * MIB), { id: "find", kind: "find", type: "downloader" }] },
  { name: "other", needs: [receive(FEED, 64 * KIB), publish(FEED, KIB)] },
];
export const GRANT = { from: "feeds", type: FEED, to: "rules" } as const;

type Grants = Site["grants"]["resources"];

export interface ResourceStand extends AsyncDisposable {
  readonly fixture: BusFixture;
  /** What is in force now; another one after `restart`. */
  resources(): Resources;
  readonly audit: readonly { readonly kind: string; readonly subject: string; readonly detail: object }[];
  /** `from refusal`, each time. */
  readonly refused: readonly string[];
  readonly spoolDir: string;
  readonly receiversDir: string;
  grant(grants: Grants): Promise<void>;
  /** As if sensord was killed and came back. */
  restart(): Promise<void>;
  /** An instrument of the SDK. */
  start(name: Name, begin: (context: InstrumentContext) => void): Promise<InstrumentHandle>;
  /** Files in a receiver's directory, by their path in it. */
  files(to: Name): Promise<readonly string[]>;
  read(to: Name, path: string): Promise<string>;
}

export async function resourceStand(
  options: {
    readonly limits?: Partial<ResourceLimits>;
    readonly spoolDir?: string;
    readonly grants?: Grants;
    readonly instruments?: readonly BusInstrument[];
    readonly messages?: Site["grants"]["messages"];
    readonly find?: InstrumentServices["find"];
  } = {},
): Promise<ResourceStand> {
  const { instruments = INSTRUMENTS, messages = [] } = options;
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-resources-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const layout = {
    sensordDir: options.spoolDir ?? join(dir, "sensord"),
    resourcesDir: join(dir, "resources"),
  };
  if (options.spoolDir !== undefined) layout.resourcesDir = join(options.spoolDir, "receivers");
  await mkdir(layout.sensordDir, { recursive: true });
  for (const { name } of instruments) await mkdir(join(layout.resourcesDir, name), { recursive: true });
  const limits = { ...DEFAULT_RESOURCE_LIMITS, reserveBytes: 0, ...options.limits };
  const audit: { kind: string; subject: string; detail: object }[] = [];
  const refused: string[] = [];
  let grants: Grants = options.grants ?? [GRANT];
  const open = async (): Promise<Resources> => {
    const opened = await Resources.open({
      layout,
      limits,
      tell: (to, notice, signal) => fixture.bus.sendResource(to, notice, { timeoutMs: 2_000, signal }),
      audit: { append: (kind, subject, detail) => void audit.push({ kind, subject, detail }) },
      sums: {
        add: ({ kind, subject, facts }) => {
          if (kind === "resource.refused") refused.push(`${subject} ${String(facts["refusal"])}`);
        },
      },
      log: SILENT,
    });
    await opened.follow(instruments, grants);
    return opened;
  };
  let current = await open();
  stack.defer(() => current[Symbol.asyncDispose]());
  const fixture: BusFixture = stack.use(
    await BusFixture.open({
      desired: {
        sensor: "lab",
        instruments,
        grants: { events: [], messages, resources: grants },
      },
      services: {
        deliveries: {
          admit: (...args) => current.desk.admit(...args),
          open: (...args) => current.desk.open(...args),
          chunk: (...args) => current.desk.chunk(...args),
          close: (...args) => current.desk.close(...args),
          abort: (...args) => current.desk.abort(...args),
        },
        find:
          options.find ??
          ((): FindAnswer => ({
            ok: true,
            peers: [{ name: "feeds", package: "downloader", state: "running" }],
          })),
      },
      onHello: (name) => current.greeted(name),
    }),
  );
  const owned = stack.move();
  return {
    fixture,
    resources: () => current,
    audit,
    refused,
    spoolDir: join(layout.sensordDir, "resources"),
    receiversDir: layout.resourcesDir,
    async grant(next) {
      grants = next;
      const desired = { events: [], messages, resources: grants };
      await fixture.bus.applyGrants({ sensor: "lab", instruments, grants: desired });
      await current.follow(instruments, grants);
    },
    async restart() {
      const former = current;
      current = await open();
      owned.defer(() => former[Symbol.asyncDispose]());
    },
    async start(name, begin) {
      const handle = await startInstrument(
        {
          config: z.strictObject({}),
          start(context) {
            begin(context);
            return {};
          },
        },
        () => ({
          instrument: name,
          busSocket: fixture.socketPath(name),
          uiSocket: "/nowhere",
          dataDir: "/nowhere",
          inboxDir: "/nowhere",
          resourcesDir: join(layout.resourcesDir, name),
        }),
      );
      owned.defer(() => handle.stop());
      return handle;
    },
    async files(to) {
      const entries = await readdir(join(layout.resourcesDir, to), { recursive: true, withFileTypes: true });
      const top = join(layout.resourcesDir, to).length + 1;
      return entries
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name).slice(top))
        .toSorted();
    },
    read: (to, path) => readFile(join(layout.resourcesDir, to, path), "utf8"),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

/** Any NATS client delivers in these few lines. */
export class PlainSender {
  readonly #connection: NatsConnection;
  readonly #from: Name;

  constructor(connection: NatsConnection, from: Name) {
    this.#connection = connection;
    this.#from = from;
  }

  async open(request: object) {
    return DeliveryOpened.parse(await this.#ask("", JSON.stringify(request)));
  }

  async opened(request: object): Promise<string> {
    const answer = await this.open(request);
    if (!answer.ok) throw new Error(`${answer.refusal}: ${answer.message}`);
    return answer.id;
  }

  async chunk(id: string, offset: number, bytes: Uint8Array | string) {
    return ChunkAnswer.parse(await this.#ask(`.${id}.${offset}`, bytes));
  }

  async close(id: string) {
    return CloseAnswer.parse(await this.#ask(`.${id}.close`, ""));
  }

  async #ask(step: string, payload: Uint8Array | string): Promise<unknown> {
    const reply = await this.#connection.request(`svc.${this.#from}.deliver${step}`, payload, {
      timeout: 5_000,
    });
    return reply.json();
  }
}

export async function* bytesOf(...pieces: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield typeof piece === "string" ? Buffer.from(piece) : piece;
}

/** Until the receiver said this of the newest version. */
export async function untilState(
  stand: ResourceStand,
  to: Name,
  state: string,
  version?: string,
): Promise<void> {
  await eventually(`${to}: ${state}`, () =>
    stand
      .resources()
      .report()
      .resources.some((one) =>
        one.receivers.some(
          (has) => has.to === to && has.state === state && (version === undefined || has.current === version),
        ),
      ),
  );
}
