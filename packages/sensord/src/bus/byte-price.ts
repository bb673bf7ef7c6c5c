/**
 * Byte price: how dear a byte is on the bus at the moment, from how much of the host's processors stands idle.
 *
 * What the broker stores is encrypted and written by the kernel's own threads, whose time is charged to nobody: with a
 * slow cipher, one instrument's permitted flood took two processors. While processors are idle a byte costs one of
 * its sender's budget; while none are, up to four: the sender is read more slowly, and nothing is lost.
 *
 * Invariants: between 1 and DEAREST; it rises within a second and falls slowly; where the host's times cannot be read
 * it stays as it is, which is said once. Source: proc_stat(5).
 */
import { readFile } from "node:fs/promises";
import { describeError, type Log } from "../log.ts";

export const DEAREST = 4;
/** Shares of all processors that stand idle: under the first a byte grows dearer, over the second cheaper. */
const SCARCE = 0.1;
const AMPLE = 0.25;
const EVERY_MS = 250;

export interface ProcessorTimes {
  readonly idle: number;
  readonly total: number;
}

export class BytePrice implements Disposable {
  readonly #log: Log;
  readonly #read: () => Promise<string>;
  readonly #timer: NodeJS.Timeout;
  #former: ProcessorTimes | null = null;
  #price = 1;
  #said = false;

  constructor(log: Log, read: () => Promise<string> = () => readFile("/proc/stat", "utf8")) {
    this.#log = log;
    this.#read = read;
    this.#timer = setInterval(() => void this.look(), EVERY_MS).unref();
  }

  get current(): number {
    return this.#price;
  }

  /** Never throws. */
  async look(): Promise<void> {
    try {
      const times = parseProcessorTimes(await this.#read());
      const former = this.#former;
      this.#former = times;
      if (former === null || times.total <= former.total) return;
      this.#price = nextPrice(this.#price, (times.idle - former.idle) / (times.total - former.total));
    } catch (error) {
      if (!this.#said) this.#log.warn("the host's processor times cannot be read", describeError(error));
      this.#said = true;
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** @param idleShare of all processors, since the last look */
export function nextPrice(price: number, idleShare: number): number {
  if (idleShare < SCARCE) return Math.min(DEAREST, price * 2);
  return idleShare > AMPLE ? Math.max(1, price * 0.9) : price;
}

/** Waiting for a disk counts as idle: the processor is free. @throws TypeError for what is no such table */
export function parseProcessorTimes(text: string): ProcessorTimes {
  const fields = /^cpu +((?:\d+ ?)+)$/m.exec(text)?.[1]?.trim().split(" ").map(Number) ?? [];
  const [user = 0, nice = 0, system = 0, idle, ioWait = 0, irq = 0, softIrq = 0, steal = 0] = fields;
  if (idle === undefined) throw new TypeError("/proc/stat has no line of all processors");
  // What guests take is in `user` already.
  return { idle: idle + ioWait, total: user + nice + system + idle + ioWait + irq + softIrq + steal };
}
