/**
 * Secret: bytes that must not be printed. It says `[secret]` wherever something tries: in text, in JSON and in
 * inspection. `erase` overwrites the bytes; copies that a library or the runtime made are out of its reach.
 */
import { inspect } from "node:util";

const REDACTED = "[secret]";

export class Secret implements Disposable {
  readonly #bytes: Buffer;

  /** Takes the buffer over: the caller keeps no use of it. */
  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The bytes themselves, not a copy; zeroes once erased. */
  get bytes(): Buffer {
    return this.#bytes;
  }

  erase(): void {
    this.#bytes.fill(0);
  }

  [Symbol.dispose](): void {
    this.erase();
  }

  toString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [inspect.custom](): string {
    return REDACTED;
  }
}
