/**
 * Messages: requests to one other instrument and their replies, both checked against schemas.
 *
 * Invariants: who sent a message is read from the subject that it came on; every message is answered
 * once, with its handler's reply or with the reason why there is none; a sender learns what became of
 * its message, or that it does not know, and never waits beyond the deadline. Nothing is sent twice:
 * whether to try again is the instrument's to say.
 */
import { MessageRefusal, type Name, REFUSED_HEADER, subjects } from "@bulkhead/schema";
import {
  headers,
  type Msg,
  PermissionViolationError,
  RequestError,
  TimeoutError,
} from "@nats-io/transport-node";
import type * as z from "zod";
import type { Bus } from "./bus.ts";
import { errorText, SdkError } from "./error.ts";
import { type AcceptOptions, MessageDesk, readReply } from "./message-desk.ts";

export interface SendOptions<Reply> {
  readonly to: Name;
  readonly verb: string;
  readonly data?: unknown;
  readonly reply?: z.ZodType<Reply>;
}

const MOST_WORDS = 500;
/** The platform says that a message is late; this is for when it does not. */
const GRACE_MS = 1_000;

export class Messages {
  readonly #bus: Bus;
  readonly #onProblem: (text: string) => void;
  readonly #desk: MessageDesk;
  readonly #disconnects = new Set<() => void>();

  /** Subscribes, so that it is to be made before the bus is opened. */
  constructor(bus: Bus, onProblem: (text: string) => void) {
    this.#bus = bus;
    this.#onProblem = onProblem;
    this.#desk = new MessageDesk(onProblem);
    bus.listen({
      disconnect: () => {
        for (const tell of this.#disconnects) tell();
      },
    });
    bus.connection.subscribe(`msg.${bus.instrument}.>`, {
      callback: (error, message) => {
        if (error === null) void this.#take(message);
        else onProblem(error.message);
      },
    });
  }

  accept<Request = Record<string, never>, Reply = void>(options: AcceptOptions<Request, Reply>): void {
    this.#desk.accept(options);
  }

  /** All handlers are there; what came before is taken now. */
  ready(): void {
    this.#desk.ready();
  }

  /**
   * Sends a message and returns the recipient's reply.
   * @throws SdkError `sdk-message-…`: see docs/errors.md; after `…-interrupted` and `…-late` it may have been handled.
   */
  async send<Reply = void>({ to, verb, data = {}, reply }: SendOptions<Reply>): Promise<Reply> {
    const what = `${verb} to ${to}`;
    const granted = this.#bus.welcome?.sends.find((each) => each.to === to && each.verb === verb);
    if (granted === undefined) throw failure("not-granted", `${what} is not granted`);
    if (!this.#bus.connected) throw failure("not-sent", `${what}: there is no connection to the bus`);
    const message = await this.#ask(
      what,
      subjects.message(to, this.#bus.instrument, verb),
      data,
      granted.deadlineMs,
    );
    const refusal = MessageRefusal.safeParse(message.headers?.get(REFUSED_HEADER));
    if (refusal.success) throw failure(refusal.data, `${what}: ${words(message)}`);
    const read = readReply(reply, jsonOf(message));
    if (!read.ok) throw failure("answer-invalid", `${what}: the reply ${read.issue}`);
    return read.reply;
  }

  async #ask(what: string, subject: string, data: unknown, deadlineMs: number): Promise<Msg> {
    const lost = Promise.withResolvers<never>();
    const tell = (): void =>
      lost.reject(failure("interrupted", `${what}: the connection was lost meanwhile`));
    this.#disconnects.add(tell);
    try {
      const timeout = deadlineMs + GRACE_MS;
      return await Promise.race([
        this.#bus.connection.request(subject, JSON.stringify(data), { timeout }),
        lost.promise,
      ]);
    } catch (cause) {
      throw cause instanceof SdkError ? cause : failureOf(what, cause);
    } finally {
      this.#disconnects.delete(tell);
    }
  }

  async #take(message: Msg): Promise<void> {
    const [, to, from = "", ...verb] = message.subject.split(".");
    if (to !== this.#bus.instrument || message.reply === undefined || message.reply === "") return;
    try {
      const answer = await this.#desk.take(from, verb.join("."), jsonOf(message));
      if (answer.outcome === "refused") this.#refuse(message, answer.refusal, answer.message);
      else if (!this.#bus.connection.isClosed()) message.respond(JSON.stringify(answer.reply));
    } catch (error) {
      this.#onProblem(`a message of ${from} was not answered: ${errorText(error)}`);
    }
  }

  #refuse(message: Msg, refusal: MessageRefusal, text: string): void {
    if (this.#bus.connection.isClosed()) return;
    const attributes = headers();
    attributes.set(REFUSED_HEADER, refusal);
    message.respond(text.slice(0, MOST_WORDS), { headers: attributes });
  }
}

type Failure = MessageRefusal | "not-granted" | "not-running" | "not-sent" | "answer-invalid";

function failure(why: Failure, message: string, cause?: unknown): SdkError {
  return new SdkError(`sdk-message-${why}`, message, cause === undefined ? undefined : { cause });
}

function failureOf(what: string, error: unknown): SdkError {
  const cause = error instanceof RequestError ? error.cause : error;
  if (error instanceof RequestError && error.isNoResponders())
    return failure("not-running", `${what}: it is not connected`, error);
  if (cause instanceof PermissionViolationError)
    return failure("not-granted", `${what}: ${errorText(cause)}`, error);
  if (cause instanceof TimeoutError) return failure("late", `${what}: no answer in time`, error);
  return failure("interrupted", `${what}: ${errorText(error)}`, error);
}

function jsonOf(message: Msg): unknown {
  try {
    return message.json();
  } catch {
    return undefined; // which no schema takes
  }
}

/** Of another's making: for a log line, not for a decision. */
function words(message: Msg): string {
  return message
    .string()
    .slice(0, MOST_WORDS)
    .replaceAll(/[^\x20-\x7e]/g, "?");
}
