/**
 * Recorder: what happened to each connection, handed to sensord and kept until sensord says that it is kept there.
 *
 * Invariants: what cannot be recorded is not allowed: a connection is admitted only while there is room for both of
 * its records; a refusal that finds no room, or comes too often, is counted, and the count goes with the next record.
 * Records are sent again after a lost connection; sensord tells repeats by their ids. A killed proxy loses what waited.
 */
import { randomUUID } from "node:crypto";
import { connect, type Socket } from "node:net";
import { EgressReceipt, type EgressRecord } from "@bulkhead/schema";
import { type Log, wordsOf } from "./log.ts";

const MOST_WAITING = 2_000;
const RETRY_MS = 500;
const RECEIPT_CHARS = 1_000;

export type Happening = Omit<EgressRecord, "id" | "time" | "unrecorded">;

/** Room for the two records of one connection; unused room is given back by `release`. */
export interface Admission {
  record(happening: Happening): void;
  release(): void;
}

export class Recorder implements Disposable {
  readonly #path: string;
  readonly #log: Log;
  readonly #mostWaiting: number;
  readonly #waiting = new Map<string, EgressRecord>();
  readonly #unrecorded = new Map<string, number>();
  #reserved = 0;
  #socket: Socket | null = null;
  #timer: NodeJS.Timeout | null = null;
  #ended = false;
  #trouble = "";

  constructor(path: string, log: Log, mostWaiting: number = MOST_WAITING) {
    this.#path = path;
    this.#log = log;
    this.#mostWaiting = mostWaiting;
    this.#open();
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Null where what would have to be recorded could not be. */
  admit(): Admission | null {
    if (!this.#hasRoom(2)) return null;
    this.#reserved += 2;
    let left = 2;
    return {
      record: (happening) => {
        if (left === 0) throw new RangeError("a connection has two records");
        left -= 1;
        this.#reserved -= 1;
        this.#put(happening);
      },
      release: () => {
        this.#reserved -= left;
        left = 0;
      },
    };
  }

  /** A refusal before any admission. */
  refused(happening: Happening): void {
    if (this.#hasRoom(1)) this.#put(happening);
    else this.count(happening.instrument);
  }

  /** A refusal that is only counted. */
  count(instrument: string): void {
    this.#unrecorded.set(instrument, (this.#unrecorded.get(instrument) ?? 0) + 1);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#socket?.destroy();
  }

  #hasRoom(count: number): boolean {
    return this.#waiting.size + this.#reserved + count <= this.#mostWaiting;
  }

  #put(happening: Happening): void {
    const { instrument } = happening;
    const record: EgressRecord = {
      id: randomUUID(),
      time: new Date().toISOString(),
      ...happening,
      unrecorded: this.#unrecorded.get(instrument) ?? 0,
    };
    this.#unrecorded.delete(instrument);
    this.#waiting.set(record.id, record);
    this.#send(record);
  }

  #send(record: EgressRecord): void {
    if (this.#socket?.readyState === "open") this.#socket.write(`${JSON.stringify(record)}\n`);
  }

  #open(): void {
    const socket = connect(this.#path);
    this.#socket = socket;
    let text = "";
    socket.setEncoding("utf8");
    socket.on("connect", () => {
      this.#trouble = "";
      for (const record of this.#waiting.values()) this.#send(record);
    });
    socket.on("data", (chunk: string) => {
      text += chunk;
      const lines = text.split("\n");
      text = lines.pop() ?? "";
      if (text.length > RECEIPT_CHARS) socket.destroy(new Error("a receipt without end"));
      for (const line of lines) this.#receive(line, socket);
    });
    socket.on("error", (error) => this.#say(error));
    socket.on("close", () => {
      if (this.#ended) return;
      this.#timer = setTimeout(() => this.#open(), RETRY_MS);
    });
  }

  #receive(line: string, socket: Socket): void {
    try {
      this.#waiting.delete(EgressReceipt.parse(JSON.parse(line)).kept);
    } catch (error) {
      socket.destroy(new Error("an unreadable receipt", { cause: error }));
    }
  }

  /** Once for each reason, not twice a second. */
  #say(error: unknown): void {
    const words = wordsOf(error);
    if (words !== this.#trouble) this.#log("records wait", { error: words, waiting: this.#waiting.size });
    this.#trouble = words;
  }
}
