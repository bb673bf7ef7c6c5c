/**
 * The verifier of audit logs: the same for the command line, warden and the fleet.
 *
 * It finds entries that were edited, replaced, inserted, reordered or cut out, checkpoints that
 * the sensor's key did not sign, and a log that ends before its signed head; each with its place.
 * It goes on after a fault, so that one edit is one fault. What it cannot find: entries behind the
 * last head, and a log and head that were both put back to a former state; a second copy can
 * (`compareAudits`). Pure: bytes and a check of signatures are passed in.
 */
import type { AuditCheckpoint, AuditHead, AuditRecord } from "@bulkhead/schema";
import {
  AUDIT_GENESIS,
  type AuditTip,
  checkpointMessage,
  hashOfRecord,
  headMessage,
  parseAuditLine,
} from "./audit-entry.ts";

export type AuditFaultKind =
  | "unreadable"
  | "edited"
  | "missing"
  | "out-of-place"
  | "replaced"
  | "bad-signature"
  | "head-missing"
  | "cut-off"
  | "differs";

export interface AuditFault {
  readonly kind: AuditFaultKind;
  readonly file: string;
  /** From 1; 0: the file as a whole. */
  readonly line: number;
  /** The entry that it is about, where that is known. */
  readonly seq: number | null;
  readonly message: string;
}

export interface AuditFile {
  readonly name: string;
  readonly bytes: Uint8Array;
  /** Its first line's number in places; 1 by default. */
  readonly firstLine?: number;
}

/** True: the key of this fingerprint is the sensor's, and it signed this message. */
export type CheckSignature = (message: Uint8Array, signature: string, key: string) => boolean;

export interface AuditInput {
  /** In the order of the log. */
  readonly files: readonly AuditFile[];
  /** Its file's name and what it says; null where there is none that can be read. */
  readonly head: { readonly file: string; readonly value: AuditHead | null };
  readonly checkSignature: CheckSignature;
  /** A log that is being written: its last line may not be whole yet. */
  readonly live: boolean;
  /** What the first line is chained to; the beginning of a log by default. */
  readonly from?: AuditTip;
}

export interface AuditVerdict {
  readonly ok: boolean;
  readonly entries: number;
  /** Entries that checkpoints stand for. */
  readonly removed: number;
  /** Entries behind the signed head: chained, not signed yet. */
  readonly unsigned: number;
  readonly first: number | null;
  readonly last: AuditTip | null;
  /** Bytes of a last line that is not whole. */
  readonly tornBytes: number;
  /** At most MOST_FAULTS. */
  readonly faults: readonly AuditFault[];
  readonly hashes: ReadonlyMap<number, string>;
}

const MOST_FAULTS = 100;

export function verifyAudit(input: AuditInput): AuditVerdict {
  const walk = new Walk(input);
  input.files.forEach((file, index) => walk.file(file, index === input.files.length - 1));
  return walk.end();
}

/** Two copies of one log, such as the log and a former export of it: where they overlap they must agree. */
export function compareAudits(
  one: { readonly name: string; readonly verdict: AuditVerdict },
  other: { readonly name: string; readonly verdict: AuditVerdict },
): readonly AuditFault[] {
  const [older, newer] =
    (one.verdict.last?.seq ?? 0) <= (other.verdict.last?.seq ?? 0) ? [one, other] : [other, one];
  for (const [seq, hash] of older.verdict.hashes) {
    const there = newer.verdict.hashes.get(seq);
    if (there === undefined || there === hash) continue;
    return [
      {
        kind: "differs",
        file: newer.name,
        line: 0,
        seq,
        message: `entry ${seq} is another one in ${older.name}: one of the two was rewritten from here on`,
      },
    ];
  }
  return [];
}

interface Place {
  readonly file: string;
  readonly line: number;
}

class Walk {
  readonly #input: AuditInput;
  readonly #hashes = new Map<number, string>();
  readonly #faults: AuditFault[] = [];
  #tip: AuditTip;
  #place: Place = { file: "", line: 0 };
  #headPlace: Place | null = null;
  #entries = 0;
  #removed = 0;
  #first: number | null = null;
  #tornBytes = 0;

  constructor(input: AuditInput) {
    this.#input = input;
    this.#tip = input.from ?? AUDIT_GENESIS;
  }

  file({ name, bytes, firstLine = 1 }: AuditFile, last: boolean): void {
    let line = firstLine - 1;
    for (let at = 0; at < bytes.length;) {
      line += 1;
      this.#place = { file: name, line };
      const end = bytes.indexOf(0x0a, at);
      if (end === -1) {
        this.#torn(bytes.length - at, last);
        return;
      }
      this.#line(bytes.subarray(at, end));
      at = end + 1;
    }
  }

  #torn(sizeBytes: number, last: boolean): void {
    if (last && this.#input.live) this.#tornBytes = sizeBytes;
    else
      this.#fault(
        "unreadable",
        this.#tip.seq + 1,
        `the line ends after ${sizeBytes} bytes, without its newline`,
      );
  }

  #line(bytes: Uint8Array): void {
    const text = decode(bytes);
    const line = text === null ? ({ kind: "none", why: "is no UTF-8" } as const) : parseAuditLine(text);
    if (line.kind === "entry") this.#record(line.record);
    else if (line.kind === "checkpoint") this.#checkpoint(line.checkpoint);
    else {
      const seq = this.#tip.seq + 1;
      this.#fault("unreadable", seq, `the line ${line.why}; entry ${seq} should stand here`);
      // Its hash is not known: the next line is taken as it is.
      this.#tip = { seq, hash: "" };
    }
  }

  #record(record: AuditRecord): void {
    const { seq, hash, prev } = record;
    this.#entries += 1;
    this.#first ??= seq;
    if (hashOfRecord(record) !== hash) {
      this.#fault("edited", seq, `entry ${seq} was edited: its content is not what its hash was made of`);
    }
    if (!this.#follows(seq, prev, `entry ${seq}`)) return;
    this.#tip = { seq, hash };
    this.#hashes.set(seq, hash);
    if (seq === this.#input.head.value?.head.seq) this.#headPlace = this.#place;
  }

  #checkpoint({ checkpoint, key, signature }: AuditCheckpoint): void {
    const { from, to, prev, hash, removed } = checkpoint;
    const words = `the checkpoint for entries ${from} to ${to}`;
    if (!this.#input.checkSignature(checkpointMessage(checkpoint), signature, key)) {
      this.#fault("bad-signature", from, `${words} was not signed by the sensor's key`);
    }
    if (from <= this.#tip.seq && to >= this.#tip.seq) this.#overlaps(checkpoint, words);
    else if (!this.#follows(from, prev, words)) return;
    this.#removed += removed.warden + removed.root + removed.sensord;
    this.#tip = { seq: to, hash };
    this.#hashes.set(to, hash);
  }

  /** A rotation that was broken off leaves removed entries in front of their checkpoint. */
  #overlaps({ from, to, prev, hash }: AuditCheckpoint["checkpoint"], words: string): void {
    const before = from === 1 ? AUDIT_GENESIS.hash : (this.#hashes.get(from - 1) ?? prev);
    if (before !== prev || (to === this.#tip.seq && hash !== this.#tip.hash)) {
      this.#fault("replaced", from, `${words} stands for other entries than those before it`);
    }
  }

  /** False: it stands behind what should come after it. */
  #follows(seq: number, prev: string, words: string): boolean {
    const next = this.#tip.seq + 1;
    if (seq < next) {
      this.#fault("out-of-place", seq, `${words} stands behind entry ${next - 1}: reordered, or inserted`);
      return false;
    }
    if (seq > next) {
      const missing = seq === next + 1 ? `entry ${next} is` : `entries ${next} to ${seq - 1} are`;
      this.#fault("missing", next, `${missing} missing before ${words}, and no checkpoint stands for them`);
    } else if (this.#tip.hash !== "" && prev !== this.#tip.hash) {
      const before = next === 1 ? "the beginning of a log" : `entry ${next - 1}`;
      this.#fault("replaced", seq, `${words} does not belong to ${before}: one of the two was replaced`);
    }
    return true;
  }

  end(): AuditVerdict {
    this.#checkHead();
    const head = this.#input.head.value?.head.seq ?? 0;
    if (this.#tornBytes > 0 && this.#tip.seq < head) {
      this.#fault(
        "unreadable",
        this.#tip.seq + 1,
        "the last line is not whole, and was before the head was signed",
      );
    }
    return {
      ok: this.#faults.length === 0,
      entries: this.#entries,
      removed: this.#removed,
      unsigned: Math.max(0, this.#tip.seq - head),
      first: this.#first,
      last: this.#tip.seq === 0 ? null : this.#tip,
      tornBytes: this.#tornBytes,
      faults: this.#faults,
      hashes: this.#hashes,
    };
  }

  #checkHead(): void {
    const { file, value } = this.#input.head;
    const place = this.#place;
    this.#place = { file, line: 0 };
    if (value === null) {
      this.#fault(
        "head-missing",
        null,
        "there is no readable head: whether the end was cut off cannot be told",
      );
      return;
    }
    const { seq, hash } = value.head;
    if (!this.#input.checkSignature(headMessage(value.head), value.signature, value.key)) {
      this.#fault("bad-signature", seq, "the head was not signed by the sensor's key");
      return;
    }
    this.#place = this.#headPlace ?? place;
    const there = this.#hashes.get(seq);
    if (this.#tip.seq < seq) {
      const cut =
        this.#tip.seq + 1 === seq ? `entry ${seq} was` : `entries ${this.#tip.seq + 1} to ${seq} were`;
      this.#fault("cut-off", this.#tip.seq + 1, `${cut} cut off: the signed head ends at entry ${seq}`);
    } else if (there !== undefined && there !== hash) {
      this.#fault(
        "replaced",
        seq,
        `entry ${seq} is not the one that the head was signed for: the end was rewritten`,
      );
    }
  }

  #fault(kind: AuditFaultKind, seq: number | null, message: string): void {
    if (this.#faults.length < MOST_FAULTS) this.#faults.push({ kind, ...this.#place, seq, message });
  }
}

function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null; // not UTF-8: the caller says so, with the place
  }
}
