/**
 * Testing: runs an instrument's definition in a unit test, without broker, container or environment.
 *
 * Invariants: it goes the way of the real frame: `start`, then the configuration, and at the end the definition stops
 * before what it emitted is flushed. What is given to it is checked as the platform's own would be. It shows what an
 * instrument does, not what it is let do: grants, rates and limits are the platform's, and have tests of their own.
 */
import assert from "node:assert/strict";
import type {
  ConfigAnswer,
  ConfigCommand,
  HealthReport,
  LogLine,
  Name,
  ResourceAnswer,
  ResourceNotice,
  RetentionAnswer,
} from "@bulkhead/schema";
import { ConfigDesk } from "./config.ts";
import type { InstrumentDefinition } from "./instrument.ts";
import type { MessageAnswer } from "./message-desk.ts";
import type { EmittedEvent } from "./testing/memory-port.ts";
import type { ConsumedBatch, TestEvent } from "./testing/test-consumers.ts";
import {
  type DeliveredResource,
  type SentMessage,
  TestContext,
  type TestSurroundings,
} from "./testing/test-context.ts";
import type { UiHandler } from "./ui.ts";

export type { ConsumedBatch, DeliveredResource, EmittedEvent, MessageAnswer, SentMessage, TestEvent };

export interface StartOptions extends TestSurroundings {
  /** The first configuration; it has to be applied. Left out: the test gives one with `applyConfig`. */
  readonly config?: Readonly<Record<string, unknown>>;
}

export interface TestInstrument extends AsyncDisposable {
  /** Events that are stored; `flush` before, where the instrument does not wait for its own. */
  readonly emitted: readonly EmittedEvent[];
  readonly logs: readonly LogLine[];
  /** As it would be reported now. */
  readonly health: HealthReport;
  /** Messages that it sent. */
  readonly sent: readonly SentMessage[];
  /** Resources that it published. */
  readonly delivered: readonly DeliveredResource[];
  /** What it serves, or null. */
  readonly ui: UiHandler | null;
  /** Resolves when everything that it emitted is stored or refused. */
  flush(): Promise<void>;
  /** A whole configuration; `files`: those that it names, below the inbox directory. */
  applyConfig(
    config: Readonly<Record<string, unknown>>,
    files?: NonNullable<ConfigCommand["files"]>,
  ): Promise<ConfigAnswer>;
  /** A message of another instrument. */
  send(verb: string, data: unknown, from: Name): Promise<MessageAnswer>;
  /** A batch of another instrument's events. */
  deliverEvents(type: string, from: Name, events: readonly TestEvent[]): Promise<ConsumedBatch>;
  /** A resource that lies below the resources directory. */
  receive(notice: ResourceNotice): Promise<ResourceAnswer>;
  /** Has its stores forget what happened before that moment. */
  purge(before: Date): Promise<RetentionAnswer>;
  stop(): Promise<void>;
}

/** Starts a definition. @throws what `start` throws, AssertionError where the first configuration is refused. */
export async function startForTest<Config>(
  definition: InstrumentDefinition<Config>,
  { config, ...surroundings }: StartOptions = {},
): Promise<TestInstrument> {
  const context = new TestContext(surroundings);
  const running = await Promise.resolve()
    .then(() => definition.start(context))
    .catch(async (error: unknown) => {
      await context.close(undefined);
      throw error;
    });
  const desk = new ConfigDesk(definition.config, (checked, command) => running.apply?.(checked, command));
  context.configVersion = () => desk.version;
  context.messages.ready();
  context.resources.ready();
  let versions = 0;
  let stopping: Promise<void> | null = null;
  const stop = (): Promise<void> => (stopping ??= context.close(running.stop));
  const instrument: TestInstrument = {
    emitted: context.port.events,
    logs: context.logs,
    sent: context.sent,
    delivered: context.delivered,
    get health() {
      return context.health.report();
    },
    get ui() {
      return context.ui;
    },
    flush: () => context.publisher.flush(),
    applyConfig: (next, files) =>
      desk.take({
        version: `test-${(versions += 1)}`,
        config: next,
        retentionMs: null,
        files: files ?? null,
      }),
    send: (verb, data, from) => context.messages.take(from, verb, data),
    deliverEvents: (type, from, events) => context.consumers.hand(type, from, events),
    receive: (notice) => context.resources.take(notice),
    purge: (before) => context.retention.take({ before: before.toISOString(), reason: "schedule" }),
    stop,
    [Symbol.asyncDispose]: stop,
  };
  if (config === undefined) return instrument;
  const answer = await instrument.applyConfig(config);
  if (answer.outcome === "applied") return instrument;
  await stop();
  assert.fail(
    `the first configuration is refused: ${answer.faults.map(({ message }) => message).join("; ")}`,
  );
}
