/**
 * Client of root's verbs of warden, over its root-only socket. Answers are checked against the schema; what warden
 * refuses becomes a CliError with warden's own code.
 */
import { request } from "node:http";
import { type InstallationLayout, WARDEN_VERBS, type WardenVerb } from "@bulkhead/schema";
import * as z from "zod";
import { CliError } from "./error.ts";

const Refusal = z.looseObject({ code: z.string(), message: z.string() });
/** Stopping an instrument, deriving a key, growing a file system on a slow disk. */
const TIMEOUT_MS = 11 * 60_000;

/** @throws CliError `not-running`, `not-permitted`, `bad-answer`, or the code of what warden refused */
export async function askWarden<T>(
  { rootSocket, name }: InstallationLayout,
  verb: WardenVerb,
  type: z.ZodType<T>,
  body?: unknown,
): Promise<T> {
  const { method, path } = WARDEN_VERBS[verb];
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers =
    body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  // A connection of its own: one that was kept may be closed by warden just when it is used again.
  const target = { socketPath: rootSocket, agent: false, method, path, headers, timeout: TIMEOUT_MS };
  const call = request(target, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("error", reject);
    response.on("end", () =>
      resolve({ status: response.statusCode ?? 0, text: Buffer.concat(chunks).toString("utf8") }),
    );
  });
  call.on("timeout", () => call.destroy(new Error("no answer in time")));
  call.on("error", (cause: NodeJS.ErrnoException) => {
    const options = { cause, ...adviceFor(cause.code, name) };
    const code = cause.code === "EACCES" ? "not-permitted" : "not-running";
    reject(new CliError(code, `warden does not answer on ${rootSocket}: ${cause.message}`, options));
  });
  call.end(text);
  const reply = await promise;
  const answer: unknown = parse(reply.text);
  if (reply.status < 200 || reply.status > 299) throw refused(answer, reply.status);
  const parsed = type.safeParse(answer);
  if (parsed.success) return parsed.data;
  throw new CliError("bad-answer", `warden's answer to ${verb} is not what was expected`);
}

function refused(answer: unknown, status: number): CliError {
  const refusal = Refusal.safeParse(answer);
  if (!refusal.success) return new CliError("bad-answer", `warden answered ${status}`);
  const { code, message } = refusal.data;
  return new CliError(code, message, { advice: `docs/errors.md says more about ${code}` });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // No JSON is no answer, and said as such by the caller.
    return null;
  }
}

function adviceFor(code: string | undefined, name: string): { readonly advice: string } {
  if (code === "EACCES") return { advice: "use sudo" };
  return { advice: `start it: sudo ./bulkhead up${name === "bulkhead" ? "" : ` --installation ${name}`}` };
}
