/**
 * Answer: asks for an address through the platform's proxy, is led on where that is allowed, and gives the answer to
 * whoever wants it, within its time.
 *
 * Invariants: each hop is judged before it is asked; a connection that has become silent, or takes too long in all, is
 * ended; nothing of a connection is left when `withAnswer` returns.
 */
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import { type EgressRequest, errorText, SdkError } from "@bulkhead/sdk";
import { retryAfterMs } from "./http-head.ts";
import { Problem, type ProblemReason } from "./problem.ts";
import { follow, MOST_REDIRECTS } from "./redirect.ts";
import type { Source } from "./settings.ts";

/** `requestThroughEgress`, or what stands in for it in a test. */
export type RequestPort = (url: URL, options: EgressRequest) => Promise<IncomingMessage>;

export interface Answer {
  /** Where it came from, after all redirects. */
  readonly url: URL;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** To be read once. */
  readonly body: AsyncIterable<Uint8Array>;
}

export interface Question {
  readonly url: URL;
  readonly headers: (url: URL) => Readonly<Record<string, string>>;
  readonly source: Pick<Source, "ca" | "pins" | "redirectHosts" | "timeouts">;
  readonly signal: AbortSignal;
}

const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];

/** @throws Problem: of the connection, of time, `redirect`; what `take` throws */
export async function withAnswer<T>(
  request: RequestPort,
  question: Question,
  take: (answer: Answer) => Promise<T>,
): Promise<T> {
  const { ca, pins, redirectHosts, timeouts } = question.source;
  using patience = new Patience(question.signal, timeouts.whole);
  for (let url = question.url, hops = 0; ; hops += 1) {
    patience.wait(timeouts.connect, `${url.host} did not answer`);
    const response = await patience.guard("connection", () =>
      request(url, {
        headers: question.headers(url),
        signal: patience.signal,
        ...(ca === undefined ? {} : { ca }),
        ...(pins.length === 0 ? {} : { pins }),
      }),
    );
    try {
      const status = response.statusCode ?? 0;
      if (!REDIRECTS.includes(status)) {
        patience.rest();
        const body = pieces(response, patience, timeouts.idle);
        return await take({ url, status, headers: response.headers, body });
      }
      if (hops >= MOST_REDIRECTS) throw new Problem("redirect", `${url.host} leads on and on`);
      url = follow(url, response.headers.location, redirectHosts);
    } finally {
      response.destroy();
    }
  }
}

/** For an answer that is none of those that were waited for. */
export function unexpectedStatus({ url, status, headers }: Answer): Problem {
  const retry = retryAfterMs(headers["retry-after"], Date.now());
  return new Problem("status", `${url.host} answered ${status}`, { retryAfterMs: retry });
}

/** @throws Problem `status`, `too-large` and as `withAnswer` */
export async function fetchText(
  request: RequestPort,
  question: Question,
  what: string,
  maxBytes: number,
): Promise<string> {
  return withAnswer(request, question, async (answer) => {
    if (answer.status !== 200) {
      const { reason, message, retryAfterMs } = unexpectedStatus(answer);
      throw new Problem(reason, `${what}: ${message}`, { retryAfterMs });
    }
    const chunks: Uint8Array[] = [];
    let bytes = 0;
    for await (const chunk of answer.body) {
      bytes += chunk.byteLength;
      if (bytes > maxBytes) throw new Problem("too-large", `${what}: more than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  });
}

async function* pieces(
  response: IncomingMessage,
  patience: Patience,
  idleMs: number,
): AsyncGenerator<Uint8Array> {
  const chunks = response[Symbol.asyncIterator]();
  for (;;) {
    patience.wait(idleMs, "the host fell silent");
    const next = await patience.guard("cut", () => chunks.next());
    patience.rest();
    if (next.done === true) return;
    yield next.value as Buffer; // without an encoding a response gives buffers alone
  }
}

/** How long something may take; one wait at a time, within the whole. */
class Patience implements Disposable {
  readonly signal: AbortSignal;
  readonly #lost = new AbortController();
  readonly #whole: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;

  constructor(outer: AbortSignal, wholeMs: number) {
    this.signal = AbortSignal.any([outer, this.#lost.signal]);
    this.#whole = setTimeout(() => this.#lose("it took too long in all"), wholeMs);
  }

  wait(ms: number, what: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#lose(what), ms);
  }

  /** Nobody is waited for but the whole. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  /** Says of a failure what it was. */
  async guard<T>(otherwise: ProblemReason, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (cause) {
      if (this.signal.aborted) {
        const reason: unknown = this.signal.reason;
        throw reason instanceof Problem ? reason : new Problem("stopped", "it was stopped", { cause });
      }
      const code = cause instanceof SdkError ? cause.code : null;
      const reason: ProblemReason =
        code === "sdk-egress-refused" ? "egress-refused" : code === "sdk-egress-pin" ? "pin" : otherwise;
      throw new Problem(reason, errorText(cause), { cause });
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#whole);
  }

  #lose(what: string): void {
    this.#lost.abort(new Problem("timeout", what));
  }
}
