/**
 * Handshake: the broker's INFO as an instrument may see it, and an instrument's CONNECT as the
 * broker gets it.
 *
 * Invariants: an INFO carries no address, nonce or other server; a CONNECT carries the credentials
 * that the gate puts in and none of the client's own. Both are made anew from allow-lists.
 */
import * as z from "zod";

export interface Credentials {
  readonly user: string;
  readonly password: string;
}

const Info = z.object({
  server_id: z.string().default("bulkhead"),
  version: z.string().default("2.10.0"),
  proto: z.int().default(1),
  headers: z.boolean().default(true),
  jetstream: z.boolean().default(true),
  max_payload: z.int().default(1024 * 1024),
  ldm: z.boolean().optional(),
});

const Connect = z.object({
  verbose: z.boolean().default(false),
  pedantic: z.boolean().default(false),
  protocol: z.int().min(0).max(1).default(1),
  headers: z.boolean().default(true),
  no_responders: z.boolean().default(false),
  echo: z.boolean().default(true),
  lang: z.string().max(40).default("unknown"),
  version: z.string().max(40).default("0"),
});

/** @throws ZodError or SyntaxError: this is not a NATS server. */
export function renderInfo(text: string): Buffer {
  const info = Info.parse(JSON.parse(text));
  return line("INFO", { ...info, server_name: "bulkhead", host: "bulkhead", port: 4222 });
}

/** Null where the client's text is not a CONNECT. */
export function renderConnect(text: string, name: string, credentials: Credentials): Buffer | null {
  const connect = Connect.safeParse(parseJson(text));
  if (!connect.success) return null;
  return line("CONNECT", {
    ...connect.data,
    name,
    tls_required: false,
    user: credentials.user,
    pass: credentials.password,
  });
}

function line(operation: string, fields: Readonly<Record<string, unknown>>): Buffer {
  return Buffer.from(`${operation} ${JSON.stringify(fields)}\r\n`);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // not JSON is no CONNECT either
  }
}
