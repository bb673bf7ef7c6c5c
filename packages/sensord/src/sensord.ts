/**
 * Sensord: all parts wired together for one installation.
 *
 * Invariants: it starts and stays whether warden and the broker are there or not; what it takes
 * it gives back in reverse order. It decides nothing by itself: the parts do.
 */
import {
  type InstallationLayout,
  NOTHING_OBSERVED,
  type SensorStatus,
  type Settings,
} from "@bulkhead/schema";
import { COMMAND_DEADLINE_MS } from "@bulkhead/core";
import { join } from "node:path";
import { localRoot } from "./api/authorize.ts";
import { makeHandlers } from "./api/handlers.ts";
import { listenOnSocket } from "./api/listen.ts";
import { makeApiServer } from "./api/server.ts";
import { AuditQueue } from "./audit-queue.ts";
import { AuditSums } from "./audit-sums.ts";
import { Bus } from "./bus/bus.ts";
import { ConfigDelivery } from "./config-delivery.ts";
import { SensordError } from "./error.ts";
import { startEgressRecords } from "./egress-records.ts";
import { describeError, type Log } from "./log.ts";
import { HealthBook } from "./health.ts";
import { LastWords } from "./last-words.ts";
import { openLedger } from "./ledger.ts";
import { startLedgerLoop } from "./ledger-loop.ts";
import { hostClock, type ReadClock } from "./retention/host-clock.ts";
import { openRetention } from "./retention/retention-keeper.ts";
import { openUi } from "./open-ui.ts";
import { FIRST_LOOK_MS, planShownSite } from "./plan-site.ts";
import { peersOf } from "./peers.ts";
import { Resources } from "./resources/resources.ts";
import { sensorStatus } from "./sensor-status.ts";
import { SiteKeeper } from "./site-keeper.ts";
import type { SiteView } from "./site-view.ts";
import { UiGate } from "./ui-gate.ts";
import { makeWardenClient } from "./warden-client.ts";
import { startWardenWatch, type WardenWatch } from "./warden-watch.ts";

/** For what a receiver made of a version: a little longer than its answer is let through. */
const RESOURCE_ANSWER_MS = COMMAND_DEADLINE_MS + 1_000;

export interface SensordOptions {
  readonly layout: InstallationLayout;
  readonly settings: Settings;
  readonly log: Log;
  /** The nats-server program; by default the installation's own. */
  readonly natsServer?: string;
  /** How often the ledger is read and emitted, where not as usual. */
  readonly ledgerPace?: { readonly sampleEveryMs: number; readonly emitEveryMs: number };
  /** The host's clocks, where a test has others; and how often retention looks for what is due. */
  readonly clock?: ReadClock;
  readonly retentionPace?: { readonly tickMs: number; readonly answerMs: number };
}

/** Throws `ledger-unreadable`, `retention-unreadable`, `bus-config-rejected`, `api-socket-in-use`, `api-not-listening`. */
export async function startSensord(options: SensordOptions): Promise<AsyncDisposable> {
  const { layout, log } = options;
  await using stack = new AsyncDisposableStack();
  const now = (): number => performance.now();
  const warden = makeWardenClient(layout.wardenSocket);
  const audit = stack.use(new AuditQueue(warden, log));
  const sums = stack.use(new AuditSums(audit));
  const health = new HealthBook();
  const ledger = await openLedger({
    file: join(layout.sensordDir, "ledger.json"),
    log,
    counters: () => warden.counters(),
    now,
  });
  const configs: ConfigDelivery = stack.use(
    new ConfigDelivery({
      sender: { sendConfig: (...args) => bus.sendConfig(...args) },
      log,
      onRefused: (instrument, version, faults) =>
        audit.append("config-refused", instrument, { version, fault: faults[0]?.message ?? "" }),
    }),
  );
  const resources: Resources = stack.use(
    await Resources.open({
      layout,
      tell: (to, notice, signal) => bus.sendResource(to, notice, { timeoutMs: RESOURCE_ANSWER_MS, signal }),
      audit,
      sums,
      log,
    }),
  );
  const bus: Bus = stack.use(
    await Bus.open({
      ...options,
      services: {
        deliveries: resources.desk,
        find: (from, { type }) => peersOf(keeper.view, status().instruments, from, type),
      },
      listeners: {
        hello: (instrument) => {
          configs.hello(instrument);
          resources.greeted(instrument);
        },
        health: (instrument, report) => {
          health.record(instrument, report, now());
          ledger.report(instrument, report);
        },
        refused: (instrument, reason) =>
          sums.add({ kind: "bus.refused", subject: instrument, facts: { reason } }),
        message: ({ from, to, verb, outcome, sizeBytes }) =>
          sums.add({
            kind: "message",
            subject: from,
            facts: { outcome },
            finer: { to, verb },
            amounts: { sizeBytes },
          }),
      },
    }),
  );
  const retention = stack.use(
    await openRetention({
      file: join(layout.sensordDir, "retention.json"),
      clock: options.clock ?? (await hostClock()),
      ports: {
        isRunning: (instrument) => pidsOf(watch).has(instrument),
        ask: (...args) => bus.sendRetention(...args),
        store: () => reached(bus).store(),
        measureVolumes: (...args) => warden.volumeUse(...args),
        forgetRefusals: (...args) => bus.forgetRefusals(...args),
        erasures: () => watch.latest?.erasures ?? [],
        volumes: () => watch.latest?.observed.volumes ?? [],
        audit: (...args) => audit.append(...args),
      },
      emit: (type, data) => bus.emit(type, data),
      log,
      ...options.retentionPace,
    }),
  );
  stack.use(
    startEgressRecords({
      recordDir: layout.recordDir,
      emit: (...args) => bus.emit(...args),
      refusals: sums,
      log,
    }),
  );
  const gate = stack.use(new UiGate({ socketsDir: layout.socketsDir, log }));
  const watch = stack.use(startWardenWatch(warden, log));
  const keeper = stack.use(
    new SiteKeeper({
      log,
      state: () => watch.latest,
      followers: [
        { name: "config", follow: async (view) => configs.want(view.configs) },
        { name: "ui", follow: (view) => gate.grant(new Set(view.uiRoles.keys())) },
        { name: "bus", follow: async (view) => grantBus(bus, view, log) },
        {
          name: "resources",
          follow: (view) => resources.follow(membersOf(view), view.checked.site.grants.resources),
        },
        { name: "retention", follow: async (view) => retention.follow(view) },
      ],
    }),
  );
  const lastWords = stack.use(
    new LastWords({
      log,
      logs: (instrument, limit, signal) => reached(bus).logs(instrument, { limit, follow: false }, signal),
    }),
  );
  const observe = (): void => {
    lastWords.follow(watch.latest?.crashes ?? []);
    health.observe(pidsOf(watch), now());
    if (keeper.view !== null) ledger.expect(tapsOf(keeper.view, watch));
  };
  watch.onChange(() => {
    observe();
    keeper.look();
  });
  keeper.onFollowed(() => {
    observe();
    health.retain(new Set(keeper.view?.checked.instruments.map(({ name }) => name)));
  });
  keeper.start();
  retention.start();
  stack.use(
    startLedgerLoop({
      ledger,
      sensor: () => keeper.view?.sensor ?? null,
      emit: (type, data) => bus.emit(type, data),
      log,
      ...options.ledgerPace,
    }),
  );

  const status = (): SensorStatus =>
    sensorStatus({
      view: keeper.view,
      warden: watch.latest,
      heard: (name) => {
        const { refused, quarantined } = bus.counts(name);
        const config = configs.state(name);
        const lastLines = lastWords.of(name);
        return { ...health.heard(name, now()), config, refused, quarantined: quarantined.count, lastLines };
      },
      ledger: ledger.rows,
      processes: processesOf(watch, bus),
      problems: [
        ...keeper.problems,
        ...busProblems(bus),
        ...ledgerProblems(ledger.trouble),
        ...retention.problems,
        ...resources.problems,
      ],
    });
  const server = await makeApiServer({
    log,
    resolveCaller: localRoot,
    onDenied: ({ subject, role }, route) => sums.add({ kind: "api-denied", subject, facts: { route, role } }),
    handlers: makeHandlers({
      warden,
      audit,
      keeper,
      configs,
      retention,
      status,
      view: () => keeper.view,
      observed: () => watch.latest?.observed ?? NOTHING_OBSERVED,
      stopped: () => watch.latest?.stopped ?? [],
      plan: async (request) =>
        planShownSite(request, { ...layout, warden, state: await watch.first(FIRST_LOOK_MS) }),
      events: (query, signal) => reached(bus).events(query, signal),
      bus: () => bus.report(),
      resources: () => resources.report(),
      messages: (query, signal) => bus.messages(query, signal),
      logs: (instrument, limit, signal) => reached(bus).logs(instrument, { limit, follow: false }, signal),
      openUi: (call, view) => openUi({ gate, audit, requests: sums }, call, view),
      document: () => openApiOf(server),
    }),
  });
  stack.defer(() => server.close());
  await listenOnSocket(server, layout.apiSocket);
  log.info("sensord is up", { installation: layout.name, api: layout.apiSocket });
  return stack.move();
}

/** All of the site, whether enabled or not. */
function membersOf({ checked }: SiteView) {
  return checked.instruments.map(({ name, package: { manifest } }) => ({ name, needs: manifest.needs }));
}

/** The bus tries again by itself and says so in its state; nothing else waits for it. */
function grantBus(bus: Bus, { sensor, checked }: SiteView, log: Log): void {
  const instruments = checked.instruments
    .filter(({ site }) => site.enabled)
    .map(({ name, package: { manifest } }) => ({ name, needs: manifest.needs }));
  // One that is not enabled cannot speak, and keeps what it said.
  const retained = checked.instruments.filter(({ site }) => !site.enabled).map(({ name }) => name);
  bus
    .applyGrants({ sensor, instruments, grants: checked.site.grants, retained })
    .catch((error: unknown) => log.warn("bus not as granted", describeError(error)));
}

function pidsOf({ latest }: WardenWatch): ReadonlyMap<string, number> {
  const instruments = latest?.observed.instruments ?? [];
  return new Map(instruments.flatMap(({ name, pid }) => (pid === null ? [] : [[name, pid]])));
}

function tapsOf({ checked }: SiteView, { latest }: WardenWatch) {
  const running = new Set(
    (latest?.observed.instruments ?? []).filter((i) => i.state === "running").map((i) => i.name),
  );
  return new Map(
    checked.desired.taps.map(({ instrument }) => [instrument, { running: running.has(instrument) }]),
  );
}

function processesOf(watch: WardenWatch, bus: Bus): SensorStatus["processes"] {
  const broker = bus.state().broker;
  return [
    { name: "warden", state: watch.connected ? "up" : "down", detail: watch.trouble },
    { name: "sensord", state: "up", detail: "" },
    { name: "broker", state: broker, detail: broker === "up" ? "" : "there is no connection to it" },
  ];
}

/** A reader that would wait for the broker is told so at once. */
function reached(bus: Bus): Bus {
  if (bus.state().broker === "up") return bus;
  throw new SensordError("bus-broker-unreachable", "there is no connection to the broker");
}

function busProblems(bus: Bus): SensorStatus["problems"] {
  const { problem, ignored } = bus.state();
  return [
    ...(problem === null ? [] : [{ target: "bus", ...problem }]),
    ...ignored.map((message) => ({ target: "bus", code: "grant-ignored", message })),
  ];
}

function ledgerProblems(trouble: string | null): SensorStatus["problems"] {
  return trouble === null ? [] : [{ target: "ledger", code: "ledger-not-kept", message: trouble }];
}

function openApiOf(server: Awaited<ReturnType<typeof makeApiServer>>): { openapi: string } {
  const document = server.swagger();
  // It was registered as OpenAPI 3; the type also covers Swagger 2, which names itself otherwise.
  if (!("openapi" in document)) throw new TypeError("the document is not OpenAPI");
  return document;
}
