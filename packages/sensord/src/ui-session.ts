/**
 * UI session: sensord's end of one connection that an instrument dialled to its `ui.sock`. The
 * instrument is the HTTP/2 server on it, sensord the client (RFC 9113).
 *
 * Invariants: the other end is hostile until proven otherwise: it is pinged, its floods end the
 * session, it cannot push; streams under way are bounded. A stream that we give up is reset with
 * an error, never closed (Node would send a clean end), and only as often as a budget allows.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type OutgoingHttpHeaders,
} from "node:http2";
import type { Socket } from "node:net";
import { TokenBucket } from "./bus/token-bucket.ts";
import { SensordError } from "./error.ts";
import type { UiLimits } from "./ui-limits.ts";
import { UiWatchdog } from "./ui-watchdog.ts";

const CHECK_EVERY_MS = 1000;

export interface UiSessionOptions {
  readonly limits: UiLimits;
  /** Told once, with the reason in plain words. */
  readonly onClose: (reason: string) => void;
}

export class UiSession {
  readonly #session: ClientHttp2Session;
  readonly #socket: Socket;
  readonly #limits: UiLimits;
  readonly #resets: TokenBucket;
  readonly #watchdog: UiWatchdog;
  readonly #timers: readonly NodeJS.Timeout[];
  #streams = 0;
  #reason = "the instrument closed its connection";

  constructor(socket: Socket, { limits, onClose }: UiSessionOptions) {
    this.#socket = socket;
    this.#limits = limits;
    this.#resets = new TokenBucket(limits.resetsPerSecond, limits.resetBurst, performance.now());
    this.#watchdog = new UiWatchdog(limits, performance.now());
    this.#session = connect("http://instrument", {
      createConnection: () => socket,
      settings: {
        enablePush: false,
        initialWindowSize: limits.streamWindowBytes,
        maxHeaderListSize: limits.headerListBytes,
      },
      maxSessionMemory: 64,
    });
    this.#session.once("connect", () => {
      this.#session.setLocalWindowSize(limits.sessionWindowBytes);
    });
    this.#session.on("error", (error) => this.close(error.message));
    this.#session.on("goaway", () => this.close("the instrument said goodbye"));
    this.#timers = [
      setInterval(() => this.#ping(), limits.pingEveryMs),
      setInterval(() => this.#check(), CHECK_EVERY_MS),
    ];
    socket.once("close", () => {
      for (const timer of this.#timers) clearInterval(timer);
      onClose(this.#reason);
    });
    socket.on("error", (error) => this.close(error.message));
  }

  get usable(): boolean {
    return !this.#session.closed && !this.#session.destroyed && !this.#socket.destroyed;
  }

  /** Opens a request. Throws `ui-away` where there is no session any more, `ui-busy`. */
  request(headers: OutgoingHttpHeaders, endStream: boolean): ClientHttp2Stream {
    if (!this.usable) throw new SensordError("ui-away", "the instrument's UI is not connected");
    if (this.#streams >= this.#limits.streams) {
      throw new SensordError("ui-busy", `${this.#streams} requests are under way already`);
    }
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request(headers, { endStream });
    } catch (cause) {
      // Between the session's end and its `close` event, `request` throws at once.
      throw new SensordError("ui-away", "the instrument's UI is not connected", { cause });
    }
    this.#streams += 1;
    stream.once("close", () => {
      this.#streams -= 1;
      this.#watchdog.ended();
    });
    stream.on("data", (chunk: Buffer) => this.#watchdog.payload(chunk.length));
    stream.pause();
    stream.once("response", () => this.#watchdog.head());
    return stream;
  }

  /** Gives a stream up; at once where the budget for resets allows, else as soon as it does. */
  abandon(stream: ClientHttp2Stream, reason: string): void {
    if (stream.destroyed) return;
    const waitMs = this.#resets.take(1, performance.now());
    const reset = (): void => {
      stream.destroy(new Error(reason));
    };
    if (waitMs === 0) return reset();
    stream.pause();
    setTimeout(reset, waitMs).unref();
  }

  close(reason: string): void {
    if (this.#socket.destroyed) return;
    this.#reason = reason;
    this.#session.destroy();
    this.#socket.destroy();
  }

  #ping(): void {
    if (!this.usable) return;
    const late = setTimeout(() => this.close("the instrument does not answer"), this.#limits.pongWithinMs);
    const taken = this.#session.ping(() => clearTimeout(late));
    if (!taken) clearTimeout(late);
  }

  #check(): void {
    if (this.#watchdog.check(this.#socket.bytesRead, this.#streams, performance.now())) {
      this.close("the instrument sent too much that was no payload");
    }
  }
}
