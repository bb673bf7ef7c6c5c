/**
 * A thin client of LXD's and Incus's REST API over the Unix socket.
 *
 * Invariants: all calls stay in one project, except those that say `scope: "server"`; an asynchronous operation is
 * waited for, so a call that returned is done; what is needed is probed in `api_extensions`, never a version. It does
 * not retry: the one who holds the plan observes again.
 */
import { openAsBlob } from "node:fs";
import { Readable } from "node:stream";
import * as z from "zod";
import { WardenError } from "../error.ts";
import { type Dialect, dialectOf } from "./dialect.ts";
import { runtimeEvents, type RuntimeEvent } from "./runtime-events.ts";
import { exchange, type HttpAnswer, type HttpCall } from "./runtime-http.ts";
import { Envelope, Operation, Server } from "./runtime-schemas.ts";

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  /** For the whole call, an operation's end included; 120000 by default. */
  readonly timeoutMs?: number;
  /** `project` (the default) adds the client's project to the query. */
  readonly scope?: "project" | "server";
}

/** A split image: a tar of `metadata.yaml`, and a tar of the root file system without a leading directory. */
export interface SplitImage {
  readonly metadataFile: string;
  readonly rootfsFile: string;
  /** sha256 over both files, metadata first: the runtime's fingerprint, which it checks. */
  readonly fingerprint: string;
}

export interface RuntimeClient {
  readonly dialect: Dialect;
  readonly project: string;
  readonly socketPath: string;
  readonly extensions: ReadonlySet<string>;
  /** @throws WardenError `runtime-not-found` and those of every call, see below */
  get<T>(path: string, schema: z.ZodType<T>, options?: CallOptions): Promise<T>;
  /** Like get; null where there is no such thing. */
  find<T>(path: string, schema: z.ZodType<T>, options?: CallOptions): Promise<T | null>;
  /** Plain text, such as a log file; null where there is none. */
  text(path: string, options?: CallOptions): Promise<string | null>;
  post(path: string, body: object, options?: CallOptions): Promise<void>;
  put(path: string, body: object, options?: CallOptions): Promise<void>;
  delete(path: string, options?: CallOptions): Promise<void>;
  importImage(image: SplitImage, options?: CallOptions): Promise<void>;
  /** Lifecycle and operation events of the project; reconnects until `signal` aborts, and then ends. */
  events(signal: AbortSignal): AsyncIterable<RuntimeEvent>;
}

const defaultTimeoutMs = 120_000;
/** A question that the daemon does not answer is asked again at the next look, which must not wait for it so long. */
const readTimeoutMs = 30_000;
/** What the container profile and this client rest on (LXD's doc/api-extensions.md). */
const neededExtensions = [
  "container_syscall_filtering",
  "event_lifecycle",
  "id_map",
  "id_map_base",
  "kernel_limits",
  "linux_sysctl",
  "projects",
  "storage",
] as const;

/**
 * Connects to the runtime at `socketPath`; `project` need not exist yet.
 * @throws WardenError `runtime-unreachable`, `runtime-untrusted` (the socket is not root's), `runtime-unknown`,
 *   `runtime-extension-missing` {missing}, `runtime-timeout`, `runtime-aborted`, `runtime-answer-unreadable`
 */
export async function openRuntimeClient(
  socketPath: string,
  project: string,
  signal?: AbortSignal,
): Promise<RuntimeClient> {
  const probe = await call({ socketPath, method: "GET", path: "/1.0" }, { signal });
  const server = read(Server, probe, "/1.0");
  if (server.auth !== "trusted") {
    throw new WardenError("runtime-untrusted", `${socketPath} does not trust this process`);
  }
  const dialect = dialectOf(server.environment.server);
  const extensions: ReadonlySet<string> = new Set(server.api_extensions);
  const missing = neededExtensions.filter((name) => !extensions.has(name));
  if (missing.length > 0) {
    throw new WardenError("runtime-extension-missing", `the container runtime lacks ${missing.join(", ")}`, {
      fields: { missing: missing.join(",") },
    });
  }
  const within = (path: string, options: CallOptions): string =>
    options.scope === "server"
      ? path
      : `${path}${path.includes("?") ? "&" : "?"}project=${encodeURIComponent(project)}`;
  const send = (method: HttpCall["method"], path: string, options: CallOptions, body?: object) =>
    call(
      {
        socketPath,
        method,
        path: within(path, options),
        ...(body && {
          body: JSON.stringify(body),
          headers: { "content-type": "application/json" },
        }),
      },
      options,
    );
  const get: RuntimeClient["get"] = async (path, schema, options = {}) =>
    read(schema, await send("GET", path, { timeoutMs: readTimeoutMs, ...options }), path);
  return {
    dialect,
    project,
    socketPath,
    extensions,
    get,
    find: (path, schema, options) => nullWhereAbsent(get(path, schema, options)),
    async text(path, options = {}) {
      const answer = await exchange({
        socketPath,
        method: "GET",
        path: within(path, options),
        timeoutMs: options.timeoutMs ?? readTimeoutMs,
        signal: options.signal,
      });
      if (answer.statusCode === 404) return null;
      if (answer.statusCode === 200) return answer.text;
      throw refusal(answer, path);
    },
    async post(path, body, options = {}) {
      await send("POST", path, options, body);
    },
    async put(path, body, options = {}) {
      await send("PUT", path, options, body);
    },
    async delete(path, options = {}) {
      await send("DELETE", path, options);
    },
    async importImage(image, options = {}) {
      const form = new FormData();
      // Metadata first: the runtime reads the parts in order (lxd/images.go, imgPostContInfo).
      form.append("metadata", await openAsBlob(image.metadataFile), "metadata.tar");
      form.append("rootfs", await openAsBlob(image.rootfsFile), "rootfs.tar");
      // A Response encodes a form as it is read, file by file (Fetch, "extract a body").
      const { body, headers } = new Response(form);
      const path = within("/1.0/images", options);
      await call(
        {
          socketPath,
          method: "POST",
          path,
          ...(body && { body: Readable.fromWeb(body) }),
          headers: {
            "content-type": headers.get("content-type") ?? "multipart/form-data",
            [`${dialect.headerPrefix}fingerprint`]: image.fingerprint,
            [`${dialect.headerPrefix}public`]: "false",
          },
        },
        options,
      );
    },
    events: (signal) => runtimeEvents(socketPath, project, signal),
  };
}

/** One call; an operation that it began is waited for. Returns the metadata of the answer or of the operation. */
async function call(http: Omit<HttpCall, "timeoutMs" | "signal">, options: CallOptions): Promise<unknown> {
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  const answer = await exchange({ ...http, timeoutMs, signal: options.signal });
  const envelope = parseEnvelope(answer, http.path);
  if (envelope.type === "sync") return envelope.metadata;
  if (envelope.type === "error") throw refusal(answer, http.path);
  return awaitOperation(http, envelope.operation, { ...options, timeoutMs });
}

async function awaitOperation(
  http: Pick<HttpCall, "socketPath" | "method" | "path">,
  path: string,
  options: CallOptions & { readonly timeoutMs: number },
): Promise<unknown> {
  const { socketPath } = http;
  const { timeoutMs, signal } = options;
  // The operation's own project is part of its address in some versions: keep whatever query it came with.
  const [address, query] = path.split("?");
  const waitPath = `${address}/wait${query === undefined ? "" : `?${query}`}`;
  const answer = await exchange({ socketPath, method: "GET", path: waitPath, timeoutMs, signal });
  const envelope = parseEnvelope(answer, waitPath);
  if (envelope.type !== "sync") throw refusal(answer, waitPath);
  const operation = read(Operation, envelope.metadata, waitPath);
  if (operation.status_code !== 200) {
    throw new WardenError(
      "runtime-operation-failed",
      `${http.method} ${http.path}: ${operation.err || operation.status}`,
      { fields: { call: `${http.method} ${http.path}`, reason: operation.err } },
    );
  }
  return operation.metadata;
}

function parseEnvelope(answer: HttpAnswer, path: string): z.infer<typeof Envelope> {
  let json: unknown;
  try {
    json = JSON.parse(answer.text);
  } catch (cause) {
    throw new WardenError("runtime-answer-unreadable", `${path}: not JSON`, { cause });
  }
  return read(Envelope, json, path);
}

function read<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new WardenError("runtime-answer-unreadable", `${path}: ${z.prettifyError(result.error)}`, {
    cause: result.error,
  });
}

function refusal(answer: HttpAnswer, path: string): WardenError {
  const reason = parseEnvelope(answer, path);
  const message = reason.type === "error" ? reason.error : `status ${answer.statusCode}`;
  const code =
    answer.statusCode === 404
      ? "runtime-not-found"
      : answer.statusCode === 409
        ? "runtime-conflict"
        : "runtime-refused";
  return new WardenError(code, `${path}: ${message}`, {
    fields: { path, statusCode: answer.statusCode, reason: message },
  });
}

async function nullWhereAbsent<T>(promise: Promise<T>): Promise<T | null> {
  try {
    return await promise;
  } catch (error) {
    if (error instanceof WardenError && error.code === "runtime-not-found") return null;
    throw error;
  }
}
