/**
 * One contact: who came to which port, what was sent (the beginning of it), and for how long.
 *
 * Invariants: what came is kept as bytes in base64, never read as text or run; a contact is bounded in bytes and time,
 * so that whoever comes cannot hold the honeypot.
 */
import type { Socket } from "node:net";

export interface Contact {
  readonly from: string;
  readonly fromPort: number;
  readonly to: string;
  readonly toPort: number;
  /** All that came. */
  readonly bytes: number;
  /** The beginning, base64. */
  readonly data: string;
  readonly durationMs: number;
}

const MAX_BYTES = 64 * 1024;
const IDLE_MS = 10_000;
const WHOLE_MS = 60_000;

/** Echoes until the other ends, or the bounds are met; then says what came. Never rejects. */
export function serveContact(socket: Socket, keepBytes: number): Promise<Contact> {
  const { promise, resolve } = Promise.withResolvers<Contact>();
  const { remoteAddress = "", remotePort = 0, localAddress = "", localPort = 0 } = socket;
  const beganMs = performance.now();
  const kept: Buffer[] = [];
  let bytes = 0;
  let keptBytes = 0;
  const end = (): void => void socket.destroy();
  const whole = setTimeout(end, WHOLE_MS);
  socket.setTimeout(IDLE_MS, end);
  socket.on("data", (chunk: Buffer) => {
    bytes += chunk.length;
    if (keptBytes < keepBytes) {
      const part = chunk.subarray(0, keepBytes - keptBytes);
      kept.push(part);
      keptBytes += part.length;
    }
    if (bytes > MAX_BYTES) end();
    else socket.write(chunk);
  });
  socket.on("end", () => socket.end());
  // A peer that goes away in the middle has come all the same.
  socket.on("error", end);
  socket.on("close", () => {
    clearTimeout(whole);
    const durationMs = Math.round(performance.now() - beganMs);
    const data = Buffer.concat(kept).toString("base64");
    const [from, to] = [remoteAddress, localAddress].map(plainAddress);
    resolve({
      from: from ?? "",
      fromPort: remotePort,
      to: to ?? "",
      toPort: localPort,
      bytes,
      data,
      durationMs,
    });
  });
  return promise;
}

/** A socket for both families shows IPv4 as `::ffff:192.0.2.1`. */
function plainAddress(address: string): string {
  return address.replace(/^::ffff:(?=\d+\.)/, "");
}
