/**
 * Unpack limit: how much may come out of something compressed, in all and for each byte of it.
 *
 * What came out is counted as it comes, whatever the archive says of itself.
 */
import { Problem } from "./problem.ts";

/** Text of rules packs 5 to 30 times; a bomb some 1000 times (deflate cannot do more). */
const MOST_TIMES = 200;
/** Below this nobody is hurt, and small files of zeros are no bombs. */
const ALWAYS_BYTES = 8 * 1024 * 1024;

export class UnpackLimit {
  readonly #mostBytes: number;
  readonly #mostForRatio: number;
  #bytes = 0;

  constructor(packedBytes: number, mostBytes: number) {
    this.#mostBytes = mostBytes;
    this.#mostForRatio = Math.max(ALWAYS_BYTES, packedBytes * MOST_TIMES);
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** @throws Problem `archive` */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#mostBytes) {
      throw new Problem("archive", `more than ${this.#mostBytes} bytes come out of it`);
    }
    if (this.#bytes > this.#mostForRatio) {
      throw new Problem("archive", `more than ${MOST_TIMES} times its size comes out of it`);
    }
  }

  async *through(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.add(chunk.byteLength);
      yield chunk;
    }
  }
}
