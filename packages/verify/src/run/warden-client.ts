/** warden's verbs on root's own socket: what a proof asks of it. */
import { type IncomingMessage, request } from "node:http";
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
  const ask = async <T>(verb: WardenVerb, type: z.ZodType<T>, body?: unknown): Promise<T> =>
    (await call(socketPath, verb, type, body)).value;
  // The canary lives as long as this response is open.
  let held: IncomingMessage | null = null;
  return {
    createCanary: async (order) => {
      const { value, response } = await call(socketPath, "canaryCreate", CanaryReply, order);
      held = response;
      return value;
    },
    attack: async (as) => void (await ask("canaryAttack", Done, { as })),
    removeCanary: async () => {
      await ask("canaryRemove", Done, {});
      held?.destroy();
      held = null;
    },
    state: () => ask("state", WardenState),
    readBack: async () => (await ask("readBack", ReadBackReply)).instruments,
  };
}

interface Answer<T> {
  readonly value: T;
  readonly response: IncomingMessage;
}

async function call<T>(
  socketPath: string,
  verb: WardenVerb,
  type: z.ZodType<T>,
  body: unknown,
): Promise<Answer<T>> {
  const { method, path } = WARDEN_VERBS[verb];
  const text = body === undefined ? "" : JSON.stringify(body);
  const headers =
    body === undefined
      ? {}
      : { "content-type": "application/json", "content-length": Buffer.byteLength(text) };
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const sent = request({ socketPath, method, path, headers }, resolve);
  const unreachable = (cause: unknown): VerifyError =>
    new VerifyError("verify-warden-unreachable", `warden does not answer on ${socketPath}`, {
      advice: "start it: sudo ./bulkhead up; verify is root's alone",
      cause,
    });
  sent.on("error", (cause) => reject(unreachable(cause)));
  sent.end(text);
  const response = await promise;
  const value = await firstDocument(response).catch((cause: unknown) => Promise.reject(unreachable(cause)));
  if ((response.statusCode ?? 500) >= 400) {
    const { code, message } = Problem.parse(value);
    throw new VerifyError("verify-warden-refused", `${message} (${code})`);
  }
  const parsed = type.safeParse(value);
  if (parsed.success) return { value: parsed.data, response };
  throw new VerifyError("verify-answer-unreadable", `warden's answer to ${verb} cannot be read`, {
    cause: parsed.error,
  });
}

/** One JSON document: the first line, or all that came until the end. What comes behind it is not read. */
function firstDocument(response: IncomingMessage): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  let text = "";
  const parse = (): void => {
    try {
      resolve(JSON.parse(text));
    } catch (cause) {
      reject(cause instanceof Error ? cause : new Error(String(cause)));
    }
  };
  response.setEncoding("utf8").on("data", (chunk: string) => {
    text += chunk;
    if (text.endsWith("\n")) parse();
  });
  response.once("end", parse);
  // A canary's response ends with its connection: whoever asks next is told why.
  response.on("error", reject);
  return promise;
}
