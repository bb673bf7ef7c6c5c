/**
 * Raw client: a connection to the broker, or to a gate, that writes frames as fast as it can. The npm client would be
 * what is measured.
 */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";

export type Place = { readonly path: string } | { readonly host: string; readonly port: number };

export const PAYLOAD_BYTES = 500;
/** All subjects are equally long, so that what arrives can be counted in bytes. */
export const subjectOf = (instrument: number): string => `bench.${String(instrument).padStart(2, "0")}`;
export const ALL_SUBJECTS = "bench.>";
/** A stamp in front of a payload: microseconds of `performance`, in as many digits. */
export const STAMP_DIGITS = 15;

export async function connectRaw(place: Place, user: string, password: string): Promise<Socket> {
  const socket = createConnection(place);
  socket.setNoDelay(true);
  await once(socket, "data"); // INFO
  socket.write(`CONNECT ${JSON.stringify({ verbose: false, user, pass: password })}\r\nPING\r\n`);
  const [answer] = await once(socket, "data");
  if (!String(answer).startsWith("PONG"))
    throw new Error(`no connection for ${user}: ${String(answer).trim()}`);
  return socket;
}

export function frameOf(instrument: number, stamp = ""): string {
  return `PUB ${subjectOf(instrument)} ${PAYLOAD_BYTES}\r\n${stamp.padEnd(PAYLOAD_BYTES, "x")}\r\n`;
}

/** Bytes of one frame as its subscriber gets it, with subscription id 1. */
export const DELIVERED_BYTES = `MSG ${subjectOf(0)} 1 ${PAYLOAD_BYTES}\r\n`.length + PAYLOAD_BYTES + 2;

/** Subscribed to all subjects when this returns. */
export async function subscribeAll(port: number, user: string, password: string): Promise<Socket> {
  const socket = await connectRaw({ host: "127.0.0.1", port }, user, password);
  socket.write(`SUB ${ALL_SUBJECTS} 1\r\nPING\r\n`);
  await once(socket, "data");
  return socket;
}

/** Writes and waits until the other side has taken all that came before. */
export async function settle(socket: Socket): Promise<void> {
  socket.write("PING\r\n");
  const [answer] = await once(socket, "data");
  if (!String(answer).includes("PONG")) throw new Error(`the broker refused: ${String(answer).trim()}`);
}
