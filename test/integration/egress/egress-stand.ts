/**
 * A stand for the egress proxy: its own process in a namespace, the outside in another, a receiver of its records, and
 * a client that comes on an instrument's socket. All of it goes with the stand.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { type IncomingMessage, request as httpRequest } from "node:http";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { setTimeout as delay } from "node:timers/promises";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { EgressPolicy, EgressRecord } from "@bulkhead/schema";
import { bundle } from "@bulkhead/images";
import { eventually, joinByVeth, makeNamespace, namespacePath, runCommand } from "@bulkhead/testkit";
import type { OutsideEvent, OutsideOrder } from "./outside-process.ts";

/** The user that the proxy runs as in tests; nobody. */
const PROXY_UID = 65_534;
const MAIN = fileURLToPath(import.meta.resolve("../../../packages/egress/src/main.ts"));
const OUTSIDE = fileURLToPath(import.meta.resolve("./outside-process.ts"));

/** Addresses in public ranges, on a wire that leads nowhere else. */
export const PLACE = {
  proxy: "93.184.215.2",
  dns: "93.184.215.1",
  web: "93.184.215.14",
  other: "93.184.215.15",
  web6: "2606:2800:21f:cb07::14",
  secret: "10.66.0.5",
  metadata: "169.254.169.254",
} as const;

export interface EgressStand extends AsyncDisposable {
  readonly dir: string;
  readonly records: EgressRecord[];
  /** Who came to which address outside. */
  readonly events: OutsideEvent[];
  readonly ca: string;
  readonly insideNamespace: string;
  setPolicy(policy: Partial<EgressPolicy>): Promise<void>;
  /** Whether sensord's side takes records. */
  setReceiving(on: boolean): Promise<void>;
  proxyPid(): number;
  restartProxy(): Promise<void>;
  socketOf(instrument: string): string;
  recordOf(matches: (record: EgressRecord) => boolean): Promise<EgressRecord>;
}

export const PERMIT = { sentBytes: 1_000_000, receivedBytes: 10_000_000, connections: 4 } as const;

export async function makeEgressStand(zone: OutsideOrder["zone"]): Promise<EgressStand> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-egress-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  await chmod(dir, 0o755);
  const inside = stack.use(await makeNamespace({ ipv6: true }));
  const outside = stack.use(await makeNamespace({ ipv6: true }));
  await joinByVeth(
    { namespace: inside, device: "in0", addresses: [`${PLACE.proxy}/24`, "2606:2800:21f:cb07::2/64"] },
    {
      namespace: outside,
      device: "out0",
      addresses: [
        `${PLACE.dns}/24`,
        `${PLACE.web}/24`,
        `${PLACE.other}/24`,
        `${PLACE.web6}/64`,
        `${PLACE.secret}/32`,
        `${PLACE.metadata}/32`,
      ],
    },
  );
  await inside.ip("route", "add", "default", "via", PLACE.dns);
  await inside.ip("-6", "route", "add", "default", "via", PLACE.web6);

  const { key, certificate } = await makeCertificate(dir);
  const events: OutsideEvent[] = [];
  const order = JSON.stringify({ zone, key, certificate } satisfies OutsideOrder);
  const outsideProcess = start(outside.name, [process.execPath, OUTSIDE, order], 0);
  stack.defer(() => stop(outsideProcess));
  const ready = Promise.withResolvers<void>();
  outsideProcess.once("exit", () => ready.reject(new Error("the outside ended")));
  if (outsideProcess.stdout === null) throw new Error("no stdout");
  createInterface(outsideProcess.stdout).on("line", (line) => {
    const event = JSON.parse(line) as OutsideEvent;
    if (event.what === "ready") ready.resolve();
    events.push(event);
  });
  await ready.promise;

  for (const instrument of ["fetcher", "stranger"]) {
    await mkdir(join(dir, "sockets", instrument), { recursive: true });
    await chown(join(dir, "sockets", instrument), PROXY_UID, PROXY_UID);
  }
  const records: EgressRecord[] = [];
  const receiver = new Receiver(join(dir, "record.sock"), records);
  await receiver.open();
  stack.defer(() => receiver.close());
  const policyFile = join(dir, "policy.json");
  // As it is installed: the proxy's user need not be able to read a checkout.
  const [node, program] = [join(dir, "node"), join(dir, "egress.mjs")];
  await copyFile(process.execPath, node);
  await writeFile(program, (await bundle(MAIN, { format: "mjs" })).code);
  const argv = [
    node,
    program,
    ...["--policy", policyFile, "--sockets", join(dir, "sockets"), "--records", join(dir, "record.sock")],
  ];
  let proxy = start(inside.name, argv, PROXY_UID);
  stack.defer(() => stop(proxy));

  const moved = stack.move();
  const socketOf = (instrument: string): string => join(dir, "sockets", instrument, "egress.sock");
  return {
    dir,
    records,
    events,
    ca: certificate,
    insideNamespace: inside.name,
    socketOf,
    proxyPid: () => proxy.pid ?? 0,
    async setPolicy(policy) {
      const whole = EgressPolicy.parse({
        dns: [PLACE.dns],
        private: [],
        proxy: null,
        permits: [],
        ...policy,
      });
      await writeFile(`${policyFile}.new`, JSON.stringify(whole));
      await rename(`${policyFile}.new`, policyFile);
      for (const { instrument } of whole.permits)
        await eventually("the door listens", () => answers(socketOf(instrument)));
      // The proxy looks at its policy four times a second.
      await delay(400);
    },
    setReceiving: (on) => (on ? receiver.open() : receiver.close()),
    async restartProxy() {
      proxy.kill("SIGKILL");
      await once(proxy, "exit");
      proxy = start(inside.name, argv, PROXY_UID);
      await eventually("the door listens again", () => answers(socketOf("fetcher")));
    },
    async recordOf(matches) {
      await eventually("a record", async () => records.some(matches));
      const found = records.find(matches);
      if (found === undefined) throw new Error("it was there");
      return found;
    },
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

export interface Answer {
  readonly status: number;
  readonly refused: string | null;
  readonly socket: Socket;
}

/** CONNECT over a door's socket. */
export async function connectTo(socketPath: string, authority: string, host = authority): Promise<Answer> {
  const request = httpRequest({ socketPath, method: "CONNECT", path: authority, headers: { host } });
  request.end();
  // A refusal comes as an answer to CONNECT too, which Node shows by the same event.
  const [response, socket] = (await once(request, "connect")) as [IncomingMessage, Socket];
  socket.on("error", () => undefined);
  const refused = response.headers["x-bulkhead-refused"];
  return { status: response.statusCode ?? 0, refused: typeof refused === "string" ? refused : null, socket };
}

export async function getPlain(
  socketPath: string,
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; refused: string | null; text: string; location: string | null }> {
  const request = httpRequest({ socketPath, path: url, headers: { host: new URL(url).host, ...headers } });
  request.on("error", () => undefined);
  request.end();
  const [response] = (await once(request, "response")) as [IncomingMessage];
  let text = "";
  for await (const chunk of response) text += String(chunk);
  const refused = response.headers["x-bulkhead-refused"];
  const location = response.headers.location ?? null;
  return {
    status: response.statusCode ?? 0,
    refused: typeof refused === "string" ? refused : null,
    text,
    location,
  };
}

/** TLS inside of a tunnel. `servername` empty: none is sent. */
export async function secure(
  socket: Socket,
  options: { ca: string; servername: string; host: string },
): Promise<TLSSocket> {
  const { ca, servername, host } = options;
  const tls = connectTls({
    socket,
    ca,
    ...(servername === "" ? {} : { servername }),
    checkServerIdentity: () => undefined,
    host,
  });
  tls.on("error", () => undefined);
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>();
  tls.once("secureConnect", () => resolve(tls));
  tls.once("close", () => reject(new Error("closed before it was secure")));
  return await promise;
}

/** One question in TLS and its answer. */
export async function ask(tls: TLSSocket, text: string): Promise<string> {
  tls.write(text);
  const [chunk] = (await once(tls, "data")) as [Buffer];
  return chunk.toString("latin1");
}

class Receiver {
  readonly #path: string;
  readonly #records: EgressRecord[];
  #server: Server | null = null;
  readonly #sockets = new Set<Socket>();

  constructor(path: string, records: EgressRecord[]) {
    this.#path = path;
    this.#records = records;
  }

  async open(): Promise<void> {
    this.#server = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      // A reader of lines passes its socket's errors on.
      const lines = createInterface(socket).on("error", () => socket.destroy());
      lines.on("line", (line) => {
        const record = EgressRecord.parse(JSON.parse(line));
        if (!this.#records.some(({ id }) => id === record.id)) this.#records.push(record);
        socket.write(`${JSON.stringify({ kept: record.id })}\n`);
      });
    });
    this.#server.listen(this.#path);
    await once(this.#server, "listening");
    await chmod(this.#path, 0o666);
  }

  async close(): Promise<void> {
    this.#server?.close();
    this.#server = null;
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}

function start(namespace: string, argv: readonly string[], uid: number): ChildProcess {
  const user =
    uid === 0
      ? []
      : ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--no-new-privs", "--"];
  return spawn("nsenter", [`--net=${namespacePath(namespace)}`, "--", ...user, ...argv], {
    stdio: ["ignore", "pipe", process.env["EGRESS_LOG"] === undefined ? "ignore" : "inherit"],
  });
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

async function answers(path: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const request = httpRequest({ socketPath: path, path: "/", headers: { host: "x" } }, (response) => {
    response.resume();
    resolve(true);
  });
  request.on("error", () => resolve(false)).end();
  return await promise;
}

async function makeCertificate(dir: string): Promise<{ readonly key: string; readonly certificate: string }> {
  const [keyFile, certificateFile] = [join(dir, "key.pem"), join(dir, "certificate.pem")];
  await runCommand("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...["-subj", "/CN=egress test", "-addext", "subjectAltName=DNS:*.example.net"],
    ...["-keyout", keyFile, "-out", certificateFile],
  ]);
  return { key: await readFile(keyFile, "utf8"), certificate: await readFile(certificateFile, "utf8") };
}
