/**
 * Takes a client's ClientHello off the wire, within bounds of bytes and time, and checks that it is for `host`.
 */
import type { Duplex } from "node:stream";
import { MOST_BYTES, readClientHello } from "./client-hello.ts";
import { Refusal } from "./refusal.ts";

/**
 * What the client sent so far, to be forwarded as it is; the stream is paused.
 * @throws Refusal `not-tls`, `sni-missing`, `sni-differs`, `ech-refused`, `tls-hello-too-long`, `tls-hello-timeout`
 */
export async function readHelloFor(
  host: string,
  client: Duplex,
  head: Uint8Array,
  timeoutMs: number,
): Promise<Buffer> {
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  let bytes = Buffer.from(head);
  const look = (): void => {
    const reading = readClientHello(bytes);
    if (reading.outcome === "refused") {
      return reject(new Refusal(reading.reason, `no ClientHello for ${host}: ${reading.reason}`));
    }
    if (reading.outcome === "more") {
      if (bytes.length > MOST_BYTES) reject(new Refusal("tls-hello-too-long", "a ClientHello without end"));
      return;
    }
    if (reading.serverName === host) return resolve(bytes);
    reject(new Refusal("sni-differs", "the TLS server name is not the host that was asked for"));
  };
  const onData = (chunk: Buffer): void => {
    bytes = Buffer.concat([bytes, chunk]);
    look();
  };
  const onEnd = (): void => reject(new Refusal("not-tls", "the client ended before its ClientHello"));
  const timer = setTimeout(
    () => reject(new Refusal("tls-hello-timeout", "the ClientHello did not come in time")),
    timeoutMs,
  );
  client.on("data", onData).on("end", onEnd).on("close", onEnd);
  look();
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
    client.pause();
    client.off("data", onData).off("end", onEnd).off("close", onEnd);
  }
}
