/**
 * Line source: the lines that a tool writes into a FIFO, as the bytes that they are.
 *
 * Invariants: the FIFO is held open for reading and writing before the tool starts, so that the
 * tool neither blocks in open nor sees the end when the reader is slow; a consumer that is not
 * ready stops the reading, the pipe fills, and the tool waits: nothing is lost. Lines longer than
 * the limit are skipped and counted.
 */
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { closeSync, constants, existsSync, openSync, writeSync } from "node:fs";
import { rm } from "node:fs/promises";
import { Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { SdkError } from "./error.ts";

export interface LineSource extends AsyncDisposable {
  readonly path: string;
  /** Lines longer than the limit, which were left out. */
  readonly oversized: number;
  /**
   * Resolves when everything that was written before has been taken. For after a writer's end: a
   * line that it left half-written is closed, so that the next writer's first is whole.
   */
  drain(): Promise<void>;
}

export interface LineSourceOptions {
  readonly path: string;
  readonly maxLineBytes: number;
  /** Takes the lines of one read; reading goes on when it resolved. The bytes are the consumer's to keep. */
  readonly take: (lines: readonly Buffer[]) => Promise<void>;
  readonly onError: (error: Error) => void;
}

const NEWLINE = 0x0a;

/** Makes the FIFO anew and reads it until disposed of. @throws SdkError `sdk-line-source-failed` */
export async function openLineSource(options: LineSourceOptions): Promise<LineSource> {
  try {
    await rm(options.path, { force: true });
    await makeFifo(options.path);
  } catch (cause) {
    throw new SdkError("sdk-line-source-failed", `no FIFO at ${options.path}`, { cause });
  }
  const fd = openSync(options.path, constants.O_RDWR | constants.O_NONBLOCK);
  let socket: Socket;
  try {
    socket = new Socket({ fd, readable: true, writable: false });
  } catch (cause) {
    closeSync(fd);
    throw new SdkError("sdk-line-source-failed", `${options.path} cannot be read`, { cause });
  }
  const splitter = new LineSplitter(options.maxLineBytes);
  const marks = new Map<string, () => void>();
  socket.on("data", (chunk: Buffer) => {
    const found = splitter.split(chunk);
    const reached = marks.size === 0 ? [] : found.filter((line) => marks.has(line.toString("latin1")));
    const lines = reached.length === 0 ? found : found.filter((line) => !reached.includes(line));
    socket.pause();
    options.take(lines).then(
      () => {
        for (const mark of reached) marks.get(mark.toString("latin1"))?.();
        socket.resume();
      },
      (error: unknown) => socket.destroy(error instanceof Error ? error : new Error(String(error))),
    );
  });
  socket.on("error", options.onError);
  socket.on("close", () => {
    for (const settle of marks.values()) settle();
  });
  return {
    path: options.path,
    get oversized() {
      return splitter.oversized;
    },
    async drain() {
      if (socket.destroyed) return;
      const mark = `drained ${randomUUID()}`;
      const { promise, resolve } = Promise.withResolvers<void>();
      marks.set(mark, resolve);
      await writeMark(options.path, `\n${mark}\n`);
      await promise;
      marks.delete(mark);
    },
    async [Symbol.asyncDispose]() {
      socket.destroy();
      await rm(options.path, { force: true });
    },
  };
}

/** Node has no mkfifo; a trimmed image has it as busybox's. */
async function makeFifo(path: string): Promise<void> {
  const busybox = ["/usr/bin/busybox", "/bin/busybox"].find((file) => existsSync(file));
  const [file, ...applet] = busybox === undefined ? ["/usr/bin/mkfifo"] : [busybox, "mkfifo"];
  await promisify(execFile)(file, [...applet, "-m", "0600", path]);
}

/** Behind what is in the pipe already; a pipe that is full is tried again as it empties. */
async function writeMark(path: string, text: string): Promise<void> {
  const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  try {
    while (!tryWrite(fd, text)) await delay(10);
  } finally {
    closeSync(fd);
  }
}

/** Writes of at most PIPE_BUF bytes are whole or refused (pipe(7)). */
function tryWrite(fd: number, text: string): boolean {
  try {
    writeSync(fd, text);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EAGAIN") return false;
    throw error;
  }
}

/** Cuts chunks into lines without their newline; empty lines are left out. */
export class LineSplitter {
  oversized = 0;
  readonly #maxLineBytes: number;
  #rest: Buffer[] = [];
  #restBytes = 0;
  #skipping = false;

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes;
  }

  split(chunk: Buffer): readonly Buffer[] {
    const lines: Buffer[] = [];
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      this.#finish(chunk.subarray(start, end), lines);
      start = end + 1;
    }
    this.#keep(chunk.subarray(start));
    return lines;
  }

  #finish(part: Buffer, lines: Buffer[]): void {
    const skipped = this.#skipping || this.#restBytes + part.length > this.#maxLineBytes;
    if (skipped) this.oversized += 1;
    else if (this.#restBytes > 0) lines.push(Buffer.concat([...this.#rest, part]));
    else if (part.length > 0) lines.push(part);
    this.#rest = [];
    this.#restBytes = 0;
    this.#skipping = false;
  }

  #keep(part: Buffer): void {
    if (part.length === 0 || this.#skipping) return;
    this.#rest.push(part);
    this.#restBytes += part.length;
    if (this.#restBytes <= this.#maxLineBytes) return;
    this.#rest = [];
    this.#restBytes = 0;
    this.#skipping = true;
  }
}
