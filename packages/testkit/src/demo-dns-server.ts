/**
 * The demo's DNS server: UDP on port 53, IPv4 and IPv6, authoritative for one zone and for nothing else.
 *
 * Invariants: answers with AA set, never recurses, drops what does not parse as a query. Encoding is dns-packet's.
 */
import { type Socket, createSocket } from "node:dgram";
import { once } from "node:events";
import {
  AUTHORITATIVE_ANSWER,
  type Packet,
  type Question,
  RECURSION_DESIRED,
  decode,
  encode,
} from "dns-packet";
import { answerQuestion, type ZoneReply } from "./demo-zone.ts";

/** Response codes by RFC 1035 section 4.1.1; they are the low four bits of the flags. */
const RCODES = { NOERROR: 0, NXDOMAIN: 3, REFUSED: 5 } as const;

export type AnswerQuestion = (question: Pick<Question, "name" | "type">) => ZoneReply;

/** Serves until the process ends; returns once it listens. */
export async function serveDns(port = 53, answer: AnswerQuestion = answerQuestion): Promise<void> {
  const socket = createSocket({ type: "udp6", ipv6Only: false });
  socket.on("message", (message, from) => reply(socket, answer, message, from.port, from.address));
  socket.bind(port, "::");
  await once(socket, "listening");
}

function reply(socket: Socket, answer: AnswerQuestion, message: Buffer, port: number, address: string): void {
  const query = parseQuery(message);
  const question = query?.questions?.[0];
  if (query === undefined || question === undefined) return;
  const { rcode, answers } = answer(question);
  const response = encode({
    type: "response",
    ...(query.id === undefined ? {} : { id: query.id }),
    flags: AUTHORITATIVE_ANSWER | ((query.flags ?? 0) & RECURSION_DESIRED) | RCODES[rcode],
    questions: [question],
    answers: [...answers],
  });
  socket.send(response, port, address);
}

function parseQuery(message: Buffer): Packet | undefined {
  try {
    const packet = decode(message);
    return packet.type === "query" ? packet : undefined;
  } catch (error) {
    // dns-packet throws plain errors and RangeErrors on what is no DNS; a server drops it. Anything else is a fault.
    if (error instanceof Error) return undefined;
    throw error;
  }
}
