/**
 * Log: an instrument's lines, to the platform over the bus.
 *
 * Invariants: never to stdout (the runtime keeps that in clear on the host); a bounded queue and a
 * bounded rate, so that a tool that shouts costs itself its lines and nobody else anything; what
 * was dropped is counted and said. It keeps no file.
 */
import type { LogLine } from "@bulkhead/schema";

export type LogLevel = LogLine["level"];

/** Sends one line; false where there is no connection. */
export type LogSink = (line: LogLine) => boolean;

export interface Log {
  debug(message: string): void;
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

export interface LogLimits {
  readonly maxWaiting: number;
  /** Lines sent at most in each interval. */
  readonly perInterval: number;
  readonly intervalMs: number;
}

/** Below what the bus gate takes of reports, so that a line is dropped here, where it is counted and said. */
const LIMITS: LogLimits = { maxWaiting: 1_000, perInterval: 20, intervalMs: 250 };
const MAX_MESSAGE = 4_000;

export class BusLog implements Log {
  readonly #sink: LogSink;
  readonly #limits: LogLimits;
  /** Runs while something waits: an instrument with nothing to say is not woken. */
  #timer: NodeJS.Timeout | null = null;
  #waiting: LogLine[] = [];
  #dropped = 0;

  constructor(sink: LogSink, limits: LogLimits = LIMITS) {
    this.#sink = sink;
    this.#limits = limits;
  }

  debug(message: string): void {
    this.write("debug", message);
  }
  info(message: string): void {
    this.write("info", message);
  }
  warn(message: string): void {
    this.write("warn", message);
  }
  error(message: string): void {
    this.write("error", message);
  }

  write(level: LogLevel, message: string): void {
    if (this.#waiting.length >= this.#limits.maxWaiting) {
      this.#dropped += 1;
      return;
    }
    const time = new Date().toISOString();
    this.#waiting.push({ time, level, message: message.slice(0, MAX_MESSAGE) });
    this.#timer ??= setInterval(() => this.send(), this.#limits.intervalMs).unref();
  }

  /** Sends what the interval allows, oldest first. */
  send(): void {
    if (this.#dropped > 0 && this.#waiting.length < this.#limits.maxWaiting) {
      const dropped = this.#dropped;
      this.#dropped = 0;
      this.write("warn", `${dropped} log lines were dropped`);
    }
    let sent = 0;
    for (const line of this.#waiting.slice(0, this.#limits.perInterval)) {
      if (!this.#sink(line)) break;
      sent += 1;
    }
    if (sent > 0) this.#waiting = this.#waiting.slice(sent);
    if (this.#waiting.length === 0) this.#rest();
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }

  close(): void {
    this.send();
    this.#rest();
  }
}
