/**
 * Entry table: a set of short ASCII strings in a third of the memory of a Set, for lists of a million
 * entries: their bytes one after the other, and an open-addressed table of where each begins.
 *
 * It is filled once and then only asked. Entries are compared whole, so that nothing is found that is
 * not in it; the hash is seeded, so that a list's author cannot choose entries that collide.
 */
import { randomBytes } from "node:crypto";

const EMPTY = 0;
const LONGEST = 255;
/** Slots for each entry, so that a search is short. */
const SPARSENESS = 2;

export class EntryTable {
  readonly #bytes: Buffer;
  /** 1 + where an entry's length byte is, or `EMPTY`. */
  readonly #slots: Uint32Array;
  readonly #mask: number;
  readonly #seed = randomBytes(4).readUInt32LE();
  readonly #key = Buffer.alloc(LONGEST);
  #used = 0;
  #size = 0;

  /** Room for so many entries of so many bytes together. */
  constructor(entries: number, bytes: number) {
    this.#bytes = Buffer.alloc(bytes + entries);
    const slots = 2 ** Math.ceil(Math.log2(Math.max(2, entries * SPARSENESS)));
    this.#slots = new Uint32Array(slots);
    this.#mask = slots - 1;
  }

  get size(): number {
    return this.#size;
  }

  /** @throws RangeError beyond its room, or for an entry of more than 255 bytes */
  add(entry: string): void {
    const length = this.#key.write(entry, "latin1");
    if (length !== entry.length) throw new RangeError(`an entry of more than ${LONGEST} bytes`);
    const slot = this.#find(length);
    if (this.#slots[slot] !== EMPTY) return;
    const isFull = this.#size * SPARSENESS > this.#mask || this.#used + length + 1 > this.#bytes.length;
    if (isFull) throw new RangeError("more entries than there is room for");
    this.#slots[slot] = this.#used + 1;
    this.#bytes[this.#used] = length;
    this.#key.copy(this.#bytes, this.#used + 1, 0, length);
    this.#used += length + 1;
    this.#size += 1;
  }

  has(entry: string): boolean {
    const length = this.#key.write(entry, "latin1");
    return length === entry.length && this.#slots[this.#find(length)] !== EMPTY;
  }

  /** The slot of the key's first bytes: theirs, or the empty one where they would be. */
  #find(length: number): number {
    let slot = this.#hash(length) & this.#mask;
    for (;;) {
      const at = this.#slots[slot] ?? EMPTY;
      if (at === EMPTY || this.#isAt(at - 1, length)) return slot;
      slot = (slot + 1) & this.#mask;
    }
  }

  #isAt(at: number, length: number): boolean {
    return (
      this.#bytes[at] === length && this.#bytes.compare(this.#key, 0, length, at + 1, at + 1 + length) === 0
    );
  }

  /** FNV-1a, seeded, with a last mixing (MurmurHash3's). */
  #hash(length: number): number {
    let hash = this.#seed;
    for (let at = 0; at < length; at += 1) {
      hash = Math.imul(hash ^ (this.#key[at] ?? 0), 0x01000193);
    }
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
    return (hash ^ (hash >>> 16)) >>> 0;
  }
}
