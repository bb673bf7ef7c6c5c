/**
 * Root's verbs of warden that set-up, start and removal need, over warden's root-only socket.
 */
import { request } from "node:http";
import { VaultStatus, WARDEN_VERBS } from "@bulkhead/schema";
import { HostError, systemErrorCode } from "./error.ts";

export type WardenOutcome =
  | { readonly outcome: "done"; readonly text: string }
  /** Nobody listens: warden is not running. */
  | { readonly outcome: "silent" };

/** @throws HostError `host-warden-refused` if warden answers with an error or not in time */
export async function callWarden(
  rootSocket: string,
  verb: "down" | "purge" | "vault",
  timeoutMs = 120_000,
): Promise<WardenOutcome> {
  const { promise, resolve, reject } = Promise.withResolvers<WardenOutcome>();
  const { method, path } = WARDEN_VERBS[verb];
  const refuse = (message: string, cause?: unknown): void =>
    reject(
      new HostError("host-warden-refused", `warden's ${verb}: ${message}`, {
        advice: "see warden's log; `down --purge` goes on without it",
        cause,
      }),
    );
  const call = request(
    {
      socketPath: rootSocket,
      agent: false,
      method,
      path,
      headers: { host: "warden" },
      timeout: timeoutMs,
    },
    (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", (error) => refuse(error.message, error));
      response.on("end", () => {
        const status = response.statusCode ?? 0;
        const text = Buffer.concat(chunks).toString("utf8");
        if (status >= 200 && status < 300) resolve({ outcome: "done", text });
        else refuse(`${status} ${text.slice(0, 500)}`);
      });
    },
  );
  call.on("timeout", () => call.destroy(new Error(`no answer within ${timeoutMs} ms`)));
  call.on("error", (error) => {
    const code = systemErrorCode(error);
    if (code === "ENOENT" || code === "ECONNREFUSED") resolve({ outcome: "silent" });
    else refuse(error.message, error);
  });
  call.end();
  return promise;
}

/** Null where warden does not run or says something else. */
export async function askVaultState(rootSocket: string): Promise<VaultStatus | null> {
  const answer = await callWarden(rootSocket, "vault", 10_000);
  if (answer.outcome === "silent") return null;
  const parsed = VaultStatus.safeParse(JSON.parse(answer.text));
  return parsed.success ? parsed.data : null;
}
