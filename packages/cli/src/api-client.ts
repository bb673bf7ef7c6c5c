/**
 * Client of sensord's API over its Unix socket. Answers are checked against the schema; a problem
 * (RFC 9457) becomes a CliError with the problem's own code.
 */
import { request, type IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { type InstallationLayout, Problem } from "@bulkhead/schema";
import type * as z from "zod";
import { CliError } from "./error.ts";

export class ApiClient {
  readonly #layout: InstallationLayout;

  constructor(layout: InstallationLayout) {
    this.#layout = layout;
  }

  /** @throws CliError `not-running`, or the code of the problem that the sensor answered. */
  async get<T>(
    path: string,
    type: z.ZodType<T>,
    query: Readonly<Record<string, string | undefined>> = {},
  ): Promise<T> {
    return type.parse(JSON.parse(await readAll(await this.#open("GET", withQuery(path, query)))));
  }

  async post<T>(path: string, type: z.ZodType<T>, body: unknown = {}): Promise<T> {
    return type.parse(JSON.parse(await readAll(await this.#open("POST", path, body))));
  }

  /** NDJSON: each line checked; ends when the sensor ends it or `signal` aborts. */
  async *lines<T>(
    path: string,
    type: z.ZodType<T>,
    query: Readonly<Record<string, string | undefined>> = {},
    signal?: AbortSignal,
  ): AsyncGenerator<T> {
    const response = await this.#open("GET", withQuery(path, query), undefined, signal);
    try {
      for await (const line of createInterface({ input: response, crlfDelay: Infinity })) {
        if (line !== "") yield type.parse(JSON.parse(line));
      }
    } catch (error) {
      if (signal?.aborted !== true) throw error;
    }
  }

  async #open(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const text = body === undefined ? "" : JSON.stringify(body);
    const sent = request(
      {
        socketPath: this.#layout.apiSocket,
        // A connection of its own: one that was kept may be closed by the sensor just when it is used again.
        agent: false,
        method,
        path,
        headers:
          body === undefined
            ? {}
            : { "content-type": "application/json", "content-length": Buffer.byteLength(text) },
        ...(signal === undefined ? {} : { signal }),
      },
      resolve,
    );
    sent.on("error", (cause) => reject(this.#unreachable(cause)));
    sent.end(text);
    const response = await promise;
    const status = response.statusCode ?? 500;
    if (status >= 400) throw problemError(await readAll(response), status);
    return response;
  }

  #unreachable(cause: NodeJS.ErrnoException): CliError {
    const { name, apiSocket } = this.#layout;
    if (cause.code === "EACCES") {
      return new CliError("not-permitted", `${apiSocket} is root's: permission denied`, {
        advice: "use sudo",
        cause,
      });
    }
    const option = name === "bulkhead" ? "" : ` --installation ${name}`;
    return new CliError("not-running", `the sensor ${name} does not answer on ${apiSocket}`, {
      advice: `start it: sudo ./bulkhead up${option} (or see: sudo ./bulkhead doctor${option})`,
      cause,
    });
  }
}

function withQuery(path: string, query: Readonly<Record<string, string | undefined>>): string {
  const search = new URLSearchParams(
    Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  return search.size === 0 ? path : `${path}?${search.toString()}`;
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

function problemError(text: string, status: number): CliError {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return new CliError("bad-answer", `the sensor answered ${status}: ${text.slice(0, 200)}`, { cause });
  }
  const parsed = Problem.safeParse(value);
  if (!parsed.success)
    return new CliError("bad-answer", `the sensor answered ${status}: ${text.slice(0, 200)}`);
  const { title, detail, code } = parsed.data;
  return new CliError(code, detail === undefined ? title : `${title}: ${detail}`, {
    advice: `docs/errors.md says more about ${code}`,
    cause: parsed.data,
  });
}
