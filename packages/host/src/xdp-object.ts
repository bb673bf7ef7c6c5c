/**
 * The smallest XDP program, `return XDP_DROP`, as an ELF object: what the probe of the kernel loads.
 *
 * It is the object that warden attaches to wires, byte for byte (a test holds them together), packed, since the host
 * package may not import warden. Its section is `xdp.frags`: on a veth with a large MTU nothing else is taken.
 */
import { inflateRawSync } from "node:zlib";

export const XDP_SECTION = "xdp.frags";

export function xdpObject(): Buffer {
  return inflateRawSync(Buffer.from(PACKED.join(""), "base64"));
}

const PACKED = [
  "q3f1cWNiZGSAAUaG7wwIHgLsQGI7QElWBhaG7WA9DAxToXLuAT4M+IAyAwODEJINAjBGRUqBXlpRYnoxQ05mcmpecSqDXnFl",
  "bkliEoNecUkRiK5IKYhPKcovYKAGYIRiNjRxB3R3QQEHGp8bqp8JTTwASrNgsQ8ZCGPRCwIRUNoAyRxGJPsloLQ0AwMDMxb9",
  "HVBah4D9AA==",
];
