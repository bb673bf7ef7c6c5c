/**
 * Sensor stand: one sensord with a real broker, a catalogue and site of its own, and a fake
 * warden, all in a directory of its own. Instruments are made with the real SDK.
 */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type InstallationLayout,
  installationLayout,
  type Name,
  type PackageTexts,
  type WardenState,
} from "@bulkhead/schema";
import { SILENT } from "../../../packages/sensord/src/log.ts";
import { brokerPaths } from "../../../packages/sensord/src/bus/broker-config.ts";
import { type SensordOptions, startSensord } from "../../../packages/sensord/src/sensord.ts";
import { findNatsServer, freePort, TestBroker } from "../../../packages/testkit/src/broker.ts";
import { FakeWarden } from "./fake-warden.ts";

export interface SensorStand extends AsyncDisposable {
  readonly layout: InstallationLayout;
  readonly warden: FakeWarden;
  readonly broker: TestBroker;
  /** Puts a site in force as warden would: state, sockets directories, containers that run. */
  accept(version: string, text: string): Promise<void>;
  stopSensord(): Promise<void>;
  startSensord(): Promise<void>;
}

export async function makeSensorStand(
  options: Pick<SensordOptions, "ledgerPace" | "clock" | "retentionPace"> = {},
): Promise<SensorStand> {
  await using stack = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "bh-sd-"));
  stack.defer(() => rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const layout = layoutIn(directory);
  for (const path of [layout.catalogueDir, layout.sensordDir, layout.socketsDir, layout.brokerDir]) {
    await mkdir(path, { recursive: true });
  }
  for (const [name, manifest] of Object.entries(PACKAGES)) await writePackage(layout, name, manifest);
  const port = await freePort();
  const natsServer = await findNatsServer();
  const warden = stack.use(new FakeWarden(layout.wardenSocket));
  await warden.start();
  const settings = {
    installation: layout.name,
    runtime: { kind: "lxd", socket: "/nowhere" },
    brokerPort: port,
    supervisor: "s6",
    uid: 1000,
    gid: 1000,
  } as const;
  const start = () => startSensord({ log: SILENT, ...options, layout, settings, natsServer });
  let sensord: AsyncDisposable | null = await start();
  const stop = async (): Promise<void> => {
    await sensord?.[Symbol.asyncDispose]();
    sensord = null;
  };
  stack.defer(stop);
  const { configFile } = brokerPaths(layout);
  const broker = stack.use(await TestBroker.start({ natsServer, configFile, port }));
  const owned = stack.move();
  return {
    layout,
    warden,
    broker,
    accept: (version, text) => accept(layout, warden, version, text),
    stopSensord: stop,
    startSensord: async () => {
      sensord = await start();
    },
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

export const SITE = `apiVersion: bulkhead/v1
sensor: test-hq
interfaces:
  span0: { kind: span, device: eth1 }
instruments:
  capture: { package: capture, source: span0 }
  ids: { package: ids, tap: { from: capture, filter: "not port 22" }, config: { level: 1 } }
  pdns: { package: pdns }
grants:
  events: [ { from: ids, type: ids.dns, to: pdns } ]
fleet:
  ui: { pdns: { roles: [analyst] } }
`;

const COMMON = {
  apiVersion: "bulkhead/v1",
  version: "1.0.0",
  title: "A test's instrument",
  image: { base: "debian" },
  run: { command: ["/opt/node/bin/node"] },
  resources: { memory: "64MiB", cpu: 1, processes: 16 },
};
const PACKAGES: Readonly<Record<string, Record<string, unknown>>> = {
  capture: { role: "passive", needs: [{ id: "span", kind: "capture.source" }] },
  ids: {
    role: "passive",
    config: "./config.schema.json",
    needs: [
      { id: "tap", kind: "net.mirror" },
      { id: "dns", kind: "event.emit", type: "ids.dns", audience: ["users", "instruments"] },
      { id: "console", kind: "ui", title: "Console", roles: ["admin"] },
    ],
  },
  keeper: {
    role: "helper",
    needs: [
      {
        id: "store",
        kind: "storage.persistent",
        size: "64MiB",
        retention: { default: "30d", measure: "files" },
      },
      { id: "note", kind: "event.emit", type: "keeper.note", audience: ["users"] },
    ],
  },
  pdns: {
    role: "helper",
    needs: [
      { id: "dns", kind: "event.consume", type: "ids.dns" },
      { id: "lookup", kind: "ui", title: "Lookup", roles: ["analyst"] },
    ],
  },
};
const CONFIG_SCHEMA = {
  type: "object",
  additionalProperties: false,
  properties: { level: { type: "integer", minimum: 0, maximum: 9 } },
};

/** What warden says of the package that an instrument runs. */
function textsOf(name: string): PackageTexts {
  const manifest = { ...COMMON, name, ...PACKAGES[name] };
  return {
    manifestFile: `${name}/instrument.yaml`,
    manifest: JSON.stringify(manifest, null, 1),
    configSchema: "config" in manifest ? JSON.stringify(CONFIG_SCHEMA) : null,
    image: JSON.stringify({ digest: "a".repeat(64) }),
  };
}

async function writePackage(
  layout: InstallationLayout,
  name: string,
  manifest: Record<string, unknown>,
): Promise<void> {
  const directory = join(layout.catalogueDir, name);
  await mkdir(directory, { recursive: true });
  // JSON is YAML too.
  await writeFile(
    join(directory, "instrument.yaml"),
    JSON.stringify({ ...COMMON, name, ...manifest }, null, 1),
  );
  await writeFile(join(directory, "image.json"), JSON.stringify({ digest: "a".repeat(64) }));
  if ("config" in manifest) {
    await writeFile(join(directory, "config.schema.json"), JSON.stringify(CONFIG_SCHEMA));
  }
}

function layoutIn(directory: string): InstallationLayout {
  const named = installationLayout("sd-test");
  return {
    ...named,
    catalogueDir: join(directory, "catalogue"),
    sensordDir: join(directory, "lib"),
    brokerDir: join(directory, "broker"),
    wardenSocket: join(directory, "warden.sock"),
    apiSocket: join(directory, "api.sock"),
    socketsDir: join(directory, "sockets"),
  };
}

async function accept(
  layout: InstallationLayout,
  warden: FakeWarden,
  version: string,
  text: string,
): Promise<void> {
  const placed = [...text.matchAll(/^ {2}(\w+): \{ package: (\w+)/gm)].map(([, name = "", of = ""]) => ({
    name,
    of,
  }));
  const names = placed.map(({ name }) => name);
  const packages = Object.fromEntries(placed.map(({ name, of }) => [name, textsOf(of)]));
  for (const name of names) await mkdir(join(layout.socketsDir, name), { recursive: true });
  warden.set({
    site: { version, text, files: [], packages },
    observed: { ...warden.state.observed, ...running(names) },
  });
}

function running(names: readonly Name[]): Partial<WardenState["observed"]> {
  return {
    instruments: names.map((name, index) => ({
      name,
      specDigest: null,
      state: "running" as const,
      pid: 4_000_000 + index,
      deviations: [],
    })),
    taps: [{ instrument: "ids", engine: "capture", wire: "connected", filter: "not port 22" }],
  };
}

export interface ApiAnswer {
  readonly status: number;
  readonly type: string;
  readonly text: string;
  /** Of a JSON document; empty for other bodies. */
  readonly json: Readonly<Record<string, unknown>>;
}

export function askApi(
  path: string,
  route: string,
  options: { readonly method?: string; readonly body?: unknown } = {},
): Promise<ApiAnswer> {
  const { method = "GET", body } = options;
  const payload = body === undefined ? "" : JSON.stringify(body);
  const headers =
    body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(payload) };
  return new Promise((resolve, reject) => {
    const outgoing = request({ socketPath: path, path: route, method, headers, agent: false });
    outgoing.on("error", reject);
    outgoing.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const text = Buffer.concat(chunks).toString("utf8");
        const type = response.headers["content-type"] ?? "";
        const isDocument = type.includes("json") && !type.includes("ndjson");
        const json = isDocument ? (JSON.parse(text) as ApiAnswer["json"]) : {}; // asserted where it matters
        resolve({ status: response.statusCode ?? 0, type, text, json });
      });
    });
    outgoing.end(payload);
  });
}
