/**
 * Relay: bytes to and fro between a client and what it was connected to, counted and bounded, untouched.
 *
 * Invariants: each side's pace is the other's (no buffer grows); an end is passed on as an end, an error or a limit
 * destroys both; `onEnd` is called once, with the first reason.
 */
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";
import type { EgressReason } from "@bulkhead/schema";

export interface RelayLimits {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  readonly idleMs: number;
}

export interface RelayEnd {
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Null for an end that either side made. */
  readonly reason: EgressReason | null;
}

export interface Relay {
  /** Ends it now. */
  end(reason: EgressReason): void;
}

/** `head`: what the client has sent already, and is forwarded first. */
export function relay(
  client: Duplex,
  target: Socket,
  head: Uint8Array,
  limits: RelayLimits,
  onEnd: (end: RelayEnd) => void,
): Relay {
  let sentBytes = 0;
  let receivedBytes = 0;
  let over = false;
  const finish = (reason: EgressReason | null): void => {
    if (over) return;
    over = true;
    clearTimeout(idle);
    client.destroy();
    target.destroy();
    onEnd({ sentBytes, receivedBytes, reason });
  };
  const idle = setTimeout(() => finish("idle-timeout"), limits.idleMs);
  const forward = (from: Duplex, to: Duplex, chunk: Uint8Array): void => {
    idle.refresh();
    if (to.write(chunk)) return;
    from.pause();
    to.once("drain", () => from.resume());
  };
  const send = (chunk: Uint8Array): void => {
    if (sentBytes + chunk.length > limits.sentBytes) return finish("bytes-exceeded");
    sentBytes += chunk.length;
    forward(client, target, chunk);
  };
  client.on("data", send);
  target.on("data", (chunk: Buffer) => {
    if (receivedBytes + chunk.length > limits.receivedBytes) return finish("bytes-exceeded");
    receivedBytes += chunk.length;
    forward(target, client, chunk);
  });
  client.on("end", () => target.end());
  target.on("end", () => client.end());
  for (const side of [client, target]) side.on("error", () => finish(null)).on("close", () => finish(null));
  if (head.length > 0) send(head);
  client.resume();
  target.resume();
  return { end: finish };
}
