/**
 * Reads the first message of a TLS connection: is it a ClientHello, and for which server? Pure; copies nothing.
 *
 * TLS records (RFC 8446 section 5.1) may cut the message anywhere; bytes come as they come. The message is read whole
 * before anything is believed. An encrypted ClientHello (ECH, extension 0xfe0d) is refused, for the name that counts
 * would be inside. What is inside TLS is not looked at.
 */
export type HelloReading =
  | { readonly outcome: "more" }
  | { readonly outcome: "hello"; readonly serverName: string }
  | {
      readonly outcome: "refused";
      readonly reason: "not-tls" | "sni-missing" | "ech-refused" | "tls-hello-too-long";
    };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
/** Largest plaintext record (RFC 8446 section 5.1). */
const RECORD_BYTES = 16_384;
/** A hello with post-quantum shares is about 2 KiB. */
const HELLO_BYTES = 16_384;
/** The smallest records that are taken: 64 for a whole hello are more than any client makes. */
const MOST_RECORDS = 64;
export const MOST_BYTES = HELLO_BYTES + 4 + MOST_RECORDS * 5;

const EXTENSION = { serverName: 0, encryptedClientHello: 0xfe0d } as const;
const HOST_NAME = 0;

/** `bytes`: all that has come so far. */
export function readClientHello(bytes: Uint8Array): HelloReading {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const fragments: Buffer[] = [];
  for (let at = 0, records = 0; ; records += 1) {
    const record = view.subarray(at);
    const fault = recordFault(record);
    if (fault !== null) return refused(fault);
    const lengthBytes = record.length < 5 ? 0 : record.readUInt16BE(3);
    const fragment = record.subarray(5, 5 + lengthBytes);
    fragments.push(fragment);
    const message = Buffer.concat(fragments);
    const announced = messageBytes(message);
    if (typeof announced === "string") return refused(announced);
    const whole = record.length >= 5 && fragment.length === lengthBytes;
    if (!whole) return { outcome: "more" };
    if (announced !== null && message.length >= announced) {
      // A record may not carry another message beside the hello (RFC 8446 section 5.1).
      return message.length === announced ? readHello(message.subarray(4)) : refused("not-tls");
    }
    if (records === MOST_RECORDS) return refused("tls-hello-too-long");
    at += 5 + lengthBytes;
  }
}

/** How long the message says that it is, header included; null while that is not known; or what is wrong with it. */
function messageBytes(message: Buffer): number | null | "not-tls" | "tls-hello-too-long" {
  if (message.length > 0 && message[0] !== CLIENT_HELLO) return "not-tls";
  if (message.length < 4) return null;
  const lengthBytes = message.readUIntBE(1, 3);
  return lengthBytes > HELLO_BYTES ? "tls-hello-too-long" : lengthBytes + 4;
}

/** What is wrong with a record's header, as far as it has come. */
function recordFault(record: Buffer): "not-tls" | null {
  if (record.length > 0 && record[0] !== HANDSHAKE) return "not-tls";
  if (record.length > 1 && record[1] !== 3) return "not-tls";
  if (record.length >= 5) {
    const lengthBytes = record.readUInt16BE(3);
    if (lengthBytes === 0 || lengthBytes > RECORD_BYTES) return "not-tls";
  }
  return null;
}

/** RFC 8446 section 4.1.2; extensions are at the end. */
function readHello(body: Buffer): HelloReading {
  try {
    const reader = new Reader(body);
    reader.skip(2 + 32);
    reader.skip(reader.uint(1));
    reader.skip(reader.uint(2));
    reader.skip(reader.uint(1));
    if (reader.atEnd) return refused("sni-missing");
    const extensions = reader.vector(2);
    reader.requireEnd();
    const seen = new Set<number>();
    let serverName: string | null = null;
    while (!extensions.atEnd) {
      const kind = extensions.uint(2);
      const data = extensions.vector(2);
      if (seen.has(kind)) return refused("not-tls");
      seen.add(kind);
      if (kind === EXTENSION.encryptedClientHello) return refused("ech-refused");
      if (kind === EXTENSION.serverName) serverName = readServerName(data);
    }
    return serverName === null ? refused("sni-missing") : { outcome: "hello", serverName };
  } catch (error) {
    if (error instanceof RangeError) return refused("not-tls");
    throw error;
  }
}

/** RFC 6066 section 3: one name of type host_name. @throws RangeError for any other list */
function readServerName(data: Reader): string {
  const list = data.vector(2);
  data.requireEnd();
  if (list.uint(1) !== HOST_NAME) throw new RangeError("no host name");
  const name = list.vector(2).rest();
  list.requireEnd();
  return name.toString("latin1").toLowerCase();
}

function refused(reason: Extract<HelloReading, { outcome: "refused" }>["reason"]): HelloReading {
  return { outcome: "refused", reason };
}

/** Reads forward; throws RangeError rather than read beyond the end. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get atEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  requireEnd(): void {
    if (!this.atEnd) throw new RangeError("bytes after the end");
  }

  skip(lengthBytes: number): void {
    if (this.#at + lengthBytes > this.#bytes.length) throw new RangeError("cut short");
    this.#at += lengthBytes;
  }

  uint(sizeBytes: 1 | 2): number {
    const from = this.#at;
    this.skip(sizeBytes);
    return this.#bytes.readUIntBE(from, sizeBytes);
  }

  /** What its own length, of `sizeBytes`, says. */
  vector(sizeBytes: 1 | 2): Reader {
    const lengthBytes = this.uint(sizeBytes);
    const from = this.#at;
    this.skip(lengthBytes);
    return new Reader(this.#bytes.subarray(from, this.#at));
  }

  rest(): Buffer {
    return this.#bytes.subarray(this.#at);
  }
}
