/**
 * The container runtime's REST API over its Unix socket, as far as removal and checks need it: ask, and wait for an
 * operation. LXD and Incus are alike here.
 *
 * warden has the full client; this one exists so that an installation can be removed from outside when warden is dead.
 * @see LXD rest-api.md: "Return values", "Background operations"
 */
import { request } from "node:http";
import * as z from "zod";
import { HostError } from "./error.ts";

export interface RuntimeAnswer {
  /** 404 is an answer; other failures throw. */
  readonly found: boolean;
  readonly metadata: unknown;
}

const Envelope = z.object({
  type: z.string(),
  metadata: z.unknown(),
  operation: z.string().optional(),
  error: z.string().optional(),
  error_code: z.number().optional(),
});
const Operation = z.object({ status_code: z.number(), err: z.string().optional() });
const operationTimeoutMs = 120_000;

/**
 * Sends one request and, if it began an operation, waits for its end.
 * @throws HostError `host-runtime-silent` if nobody answers, `host-runtime-refused` if the answer is an error
 */
export async function askRuntime(
  socket: string,
  method: "GET" | "PUT" | "POST" | "DELETE",
  path: string,
  body?: unknown,
): Promise<RuntimeAnswer> {
  const answer = await exchange(socket, method, path, body);
  if (answer.type === "error") {
    if (answer.error_code === 404) return { found: false, metadata: null };
    throw refused(method, path, answer.error ?? `error ${answer.error_code}`);
  }
  if (answer.type !== "async" || answer.operation === undefined) {
    return { found: true, metadata: answer.metadata };
  }
  const seconds = Math.round(operationTimeoutMs / 1000) - 10;
  const ended = await exchange(socket, "GET", `${answer.operation}/wait?timeout=${seconds}`);
  const operation = Operation.parse(ended.metadata);
  if (operation.status_code !== 200) {
    throw refused(method, path, operation.err ?? `operation ended with ${operation.status_code}`);
  }
  return { found: true, metadata: ended.metadata };
}

/** Whether a daemon answers on the socket, and which. */
export async function probeRuntime(
  socket: string,
): Promise<{ readonly server: string; readonly version: string } | undefined> {
  const Server = z.object({
    environment: z.object({ server: z.string(), server_version: z.string() }),
  });
  try {
    const { metadata } = await askRuntime(socket, "GET", "/1.0");
    const { environment } = Server.parse(metadata);
    return { server: environment.server, version: environment.server_version };
  } catch (error) {
    if (error instanceof HostError && error.code === "host-runtime-silent") return undefined;
    throw error;
  }
}

function refused(method: string, path: string, message: string): HostError {
  return new HostError("host-runtime-refused", `${method} ${path}: ${message}`, {
    advice: "read the container runtime's message; its log says more",
  });
}

async function exchange(
  socket: string,
  method: string,
  path: string,
  body?: unknown,
): Promise<z.infer<typeof Envelope>> {
  const { promise, resolve, reject } = Promise.withResolvers<z.infer<typeof Envelope>>();
  const silent = (cause: unknown): void =>
    reject(
      new HostError("host-runtime-silent", `no container runtime answers on ${socket}`, {
        advice: "start the runtime's daemon, or run `bulkhead up`, which does where it is ours",
        cause,
      }),
    );
  const call = request(
    {
      socketPath: socket,
      method,
      path,
      // The daemon's socket is not a host that could be named; any name will do.
      headers: { host: "runtime", "content-type": "application/json" },
      timeout: operationTimeoutMs,
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", silent);
      response.on("end", () => {
        try {
          resolve(Envelope.parse(JSON.parse(Buffer.concat(chunks).toString("utf8"))));
        } catch (cause) {
          reject(
            new HostError("host-runtime-refused", `${method} ${path}: not an answer of LXD or Incus`, {
              advice: `see what listens on ${socket}`,
              cause,
            }),
          );
        }
      });
    },
  );
  call.on("timeout", () => call.destroy(new Error("no answer in time")));
  call.on("error", silent);
  call.end(body === undefined ? undefined : JSON.stringify(body));
  return promise;
}
