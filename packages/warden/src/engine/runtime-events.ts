/**
 * The container runtime's events as an async iterable that survives the daemon's restarts.
 *
 * Invariants: after every (re)connection there is a `resync`, because events in between are lost: observe again then;
 * a slow consumer pauses the socket instead of filling memory. It does not decide anything: an event is a hint to
 * look, never a fact to act on.
 */
import { on, once } from "node:events";
import { setTimeout as delay } from "node:timers/promises";
import { WebSocket } from "ws";
import { EventMessage } from "./runtime-schemas.ts";

export type RuntimeEvent =
  | { readonly kind: "resync"; readonly why: "connected" | "unreadable" }
  /** `action` is for example `instance-started`; `instance` is null for other subjects. */
  | { readonly kind: "lifecycle"; readonly action: string; readonly instance: string | null }
  | { readonly kind: "operation"; readonly status: string; readonly description: string };

const reconnectMs = { first: 100, longest: 5_000 } as const;
const queueHighWater = 256;

/**
 * Yields events of `project` until `signal` aborts, and then returns; it never throws for a daemon that is away.
 * Source: LXD's doc/events.md.
 */
export async function* runtimeEvents(
  socketPath: string,
  project: string,
  signal: AbortSignal,
): AsyncGenerator<RuntimeEvent, void, undefined> {
  let waitMs: number = reconnectMs.first;
  while (!signal.aborted) {
    for await (const event of oneConnection(socketPath, project, signal)) {
      waitMs = reconnectMs.first;
      yield event;
    }
    await sleep(waitMs, signal);
    waitMs = Math.min(waitMs * 2, reconnectMs.longest);
  }
}

async function* oneConnection(
  socketPath: string,
  project: string,
  signal: AbortSignal,
): AsyncGenerator<RuntimeEvent, void, undefined> {
  const query = `type=lifecycle,operation&project=${encodeURIComponent(project)}`;
  const socket = new WebSocket(`ws+unix:${socketPath}:/1.0/events?${query}`, {
    perMessageDeflate: false,
    maxPayload: 16 * 1024 * 1024,
    handshakeTimeout: 10_000,
  });
  // Without a listener an error that comes between two awaits would end the process; `close` follows it always.
  socket.on("error", () => undefined);
  const abort = () => socket.terminate();
  signal.addEventListener("abort", abort, { once: true });
  try {
    // Subscribed before the first await, so that nothing that arrives with the handshake is missed.
    const messages = on(socket, "message", {
      close: ["close"],
      highWaterMark: queueHighWater,
      lowWaterMark: queueHighWater / 4,
      signal,
    });
    await once(socket, "open", { signal });
    yield { kind: "resync", why: "connected" };
    for await (const [data] of messages) yield parseEvent(String(data));
  } catch (error) {
    // The daemon is away, refused or was restarted, or the caller had enough: the loop above decides what follows.
    if (socket.readyState === WebSocket.OPEN && !signal.aborted) throw error;
  } finally {
    signal.removeEventListener("abort", abort);
    socket.terminate();
  }
}

function parseEvent(text: string): RuntimeEvent {
  const parsed = EventMessage.safeParse(parseJson(text));
  if (!parsed.success) return { kind: "resync", why: "unreadable" };
  const { type, metadata } = parsed.data;
  if (type === "operation") {
    return { kind: "operation", status: metadata.status, description: metadata.description };
  }
  const instance = /^\/1\.0\/(?:instances|containers)\/([^/?]+)/.exec(metadata.source)?.[1] ?? null;
  return { kind: "lifecycle", action: metadata.action, instance };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // the schema then refuses it, and the consumer is told to look for itself
  }
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
