/** warden's verbs on root's own socket: what a proof asks of it. */
import { request } from "node:http";
import {
  CanaryReply,
  type CanaryOrder,
  ReadBackReply,
  WARDEN_VERBS,
  WardenState,
  type WardenVerb,
} from "@bulkhead/schema";
import * as z from "zod";
import { VerifyError } from "../error.ts";

export interface WardenClient {
  createCanary(order: CanaryOrder): Promise<CanaryReply>;
  attack(as: "user" | "root"): Promise<void>;
  removeCanary(): Promise<void>;
  state(): Promise<WardenState>;
  readBack(): Promise<ReadBackReply["instruments"]>;
}
type ReadBackReply = z.infer<typeof ReadBackReply>;

const Problem = z.object({ code: z.string(), message: z.string() });
const Done = z.looseObject({});

/** @throws (its methods) VerifyError `verify-warden-unreachable`, `verify-warden-refused`, `verify-answer-unreadable` */
export function wardenClient(socketPath: string): WardenClient {
  const ask = <T>(verb: WardenVerb, type: z.ZodType<T>, body?: unknown): Promise<T> =>
    call(socketPath, verb, type, body);
  return {
    createCanary: (order) => ask("canaryCreate", CanaryReply, order),
    attack: async (as) => void (await ask("canaryAttack", Done, { as })),
    removeCanary: async () => void (await ask("canaryRemove", Done, {})),
    state: () => ask("state", WardenState),
    readBack: async () => (await ask("readBack", ReadBackReply)).instruments,
  };
}

async function call<T>(socketPath: string, verb: WardenVerb, type: z.ZodType<T>, body: unknown): Promise<T> {
  const { method, path } = WARDEN_VERBS[verb];
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers =
    body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const { promise, resolve, reject } = Promise.withResolvers<{
    readonly status: number;
    readonly text: string;
  }>();
  const sent = request({ socketPath, method, path, headers }, (response) => {
    const chunks: Buffer[] = [];
    response.on("data", (chunk: Buffer) => chunks.push(chunk));
    response.on("end", () =>
      resolve({ status: response.statusCode ?? 500, text: Buffer.concat(chunks).toString("utf8") }),
    );
    response.on("error", reject);
  });
  sent.on("error", (cause) =>
    reject(
      new VerifyError("verify-warden-unreachable", `warden does not answer on ${socketPath}`, {
        advice: "start it: sudo ./bulkhead up; verify is root's alone",
        cause,
      }),
    ),
  );
  sent.end(text);
  const answer = await promise;
  const value: unknown = JSON.parse(answer.text);
  if (answer.status >= 400) {
    const { code, message } = Problem.parse(value);
    throw new VerifyError("verify-warden-refused", `${message} (${code})`);
  }
  const parsed = type.safeParse(value);
  if (parsed.success) return parsed.data;
  throw new VerifyError("verify-answer-unreadable", `warden's answer to ${verb} cannot be read`, {
    cause: parsed.error,
  });
}
