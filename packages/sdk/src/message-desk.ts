/**
 * Message desk: the recipient's side of messages, apart from how they come: handlers by verb, each message checked
 * against its handler's schemas and answered once, with the reply or with the reason why there is none.
 *
 * Invariants: no handler sees data that its schema does not take; what a handler throws is an answer; no more than
 * so many at one time. It does not know the bus.
 */
import type { MessageRefusal, Name } from "@bulkhead/schema";
import * as z from "zod";
import { errorText } from "./error.ts";

export interface AcceptOptions<Request, Reply> {
  readonly verb: string;
  /** As the manifest's `request`; left out: the message holds nothing. */
  readonly request?: z.ZodType<Request>;
  /** As the manifest's `reply`; left out: the reply is that it was done. */
  readonly reply?: z.ZodType<Reply>;
  /** What it throws is told to the sender as `failed`, with the error's text. */
  readonly handle: (data: Request, message: { readonly from: Name }) => Promise<Reply> | Reply;
}

export type MessageAnswer =
  | { readonly outcome: "answered"; readonly reply: unknown }
  | { readonly outcome: "refused"; readonly refusal: MessageRefusal; readonly message: string };

const Nothing = z.strictObject({});
const MOST_AT_ONCE = 64;

type Handler = AcceptOptions<unknown, unknown>;

export class MessageDesk {
  readonly #onProblem: (text: string) => void;
  readonly #handlers = new Map<string, Handler>();
  readonly #ready = Promise.withResolvers<void>();
  #atOnce = 0;

  constructor(onProblem: (text: string) => void) {
    this.#onProblem = onProblem;
  }

  accept<Request, Reply>(options: AcceptOptions<Request, Reply>): void {
    // What a handler is given was checked by its own schema.
    this.#handlers.set(options.verb, options as unknown as Handler);
  }

  /** All handlers are there; what came before is taken now. */
  ready(): void {
    this.#ready.resolve();
  }

  /** Answers one message; `data` as it came, undefined where it was no JSON. */
  async take(from: Name, verb: string, data: unknown): Promise<MessageAnswer> {
    if (this.#atOnce >= MOST_AT_ONCE) return refused("busy", "too many messages at one time");
    this.#atOnce += 1;
    try {
      await this.#ready.promise;
      return await this.#handle(from, verb, data);
    } finally {
      this.#atOnce -= 1;
    }
  }

  async #handle(from: Name, verb: string, json: unknown): Promise<MessageAnswer> {
    const handler = this.#handlers.get(verb);
    if (handler === undefined) return refused("no-handler", `${verb} is not taken`);
    const data = (handler.request ?? Nothing).safeParse(json);
    if (!data.success) return refused("invalid", issueOf(data.error));
    try {
      const made = await handler.handle(data.data, { from });
      return { outcome: "answered", reply: handler.reply === undefined ? {} : handler.reply.parse(made) };
    } catch (error) {
      this.#onProblem(`${verb} of ${from} failed: ${errorText(error)}`);
      return refused("failed", errorText(error));
    }
  }
}

/** The sender's side: a reply as its schema has it, or what is wrong with it. */
export function readReply<Reply>(
  schema: z.ZodType<Reply> | undefined,
  json: unknown,
): { readonly ok: true; readonly reply: Reply } | { readonly ok: false; readonly issue: string } {
  const parsed = (schema ?? Nothing).safeParse(json);
  if (!parsed.success) return { ok: false, issue: issueOf(parsed.error) };
  // Without a schema the type parameter is its default, void.
  return { ok: true, reply: (schema === undefined ? undefined : parsed.data) as Reply };
}

function refused(refusal: MessageRefusal, message: string): MessageAnswer {
  return { outcome: "refused", refusal, message };
}

function issueOf(error: z.ZodError): string {
  const issue = error.issues[0];
  return `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}`;
}
