/**
 * Opens a connection to a target: to an address that was resolved and checked here, or through the site's HTTP proxy,
 * which then resolves by itself (its own address is checked like any other).
 */
import { connect, type Socket } from "node:net";
import type { EgressPolicy, ParsedTarget } from "@bulkhead/schema";
import { isIP } from "node:net";
import { objectionTo } from "./address.ts";
import { Refusal } from "./refusal.ts";
import { resolveHost } from "./resolver.ts";

const CONNECT_MS = 10_000;
/** For each of several addresses, so that a dead one does not eat the time of the others. */
const ATTEMPT_MS = 4_000;
const ANSWER_BYTES = 8_192;

export interface Dialled {
  readonly socket: Socket;
  /** What was connected to; empty where the upstream proxy resolves. */
  readonly address: string;
}

/** @throws Refusal `address-refused`, `connect-failed`, `connect-timeout`, `dns-failed`, `name-not-found`, `upstream-refused` */
export async function dial(
  target: Pick<ParsedTarget, "host" | "port">,
  policy: EgressPolicy,
): Promise<Dialled> {
  const { proxy } = policy;
  if (proxy === null) return await dialHost(target, policy);
  const { socket } = await dialHost(proxy, policy);
  try {
    await askUpstream(socket, `${target.host}:${target.port}`);
    return { socket, address: "" };
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

async function dialHost(
  { host, port }: { readonly host: string; readonly port: number },
  policy: EgressPolicy,
): Promise<Dialled> {
  const resolution = { servers: policy.dns, exceptions: policy.private };
  const addresses = isIP(host) === 0 ? await resolveHost(host, resolution) : [checked(host, policy)];
  const deadlineMs = performance.now() + CONNECT_MS;
  let last = new Refusal("connect-timeout", `no address of ${host} answered in time`);
  for (const address of addresses) {
    const leftMs = deadlineMs - performance.now();
    if (leftMs <= 0) break;
    try {
      return { socket: await open(address, port, Math.min(leftMs, ATTEMPT_MS)), address };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      last = error;
    }
  }
  throw last;
}

function checked(address: string, policy: EgressPolicy): string {
  const objection = objectionTo(address, policy.private);
  if (objection === null) return address;
  throw new Refusal("address-refused", `${address}: ${objection}`, { address });
}

function open(address: string, port: number, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    // `lookup` would only be called for a name, and this is none: exactly this address, or nothing.
    const socket = connect({ host: address, port, allowHalfOpen: true, noDelay: true });
    const fail = (reason: "connect-failed" | "connect-timeout", cause?: unknown): void => {
      socket.destroy();
      reject(new Refusal(reason, `${address} port ${port} did not answer`, { address, cause }));
    };
    const timer = setTimeout(() => fail("connect-timeout"), timeoutMs);
    socket.once("error", (error) => {
      clearTimeout(timer);
      fail("connect-failed", error);
    });
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.removeAllListeners("error");
      // Whoever takes the socket listens; until then an error is what `destroyed` says.
      socket.on("error", () => socket.destroy());
      resolve(socket);
    });
  });
}

/** CONNECT to the upstream (RFC 9110 section 9.3.6); what it sends after its answer is the target's. */
async function askUpstream(socket: Socket, authority: string): Promise<void> {
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let answer = Buffer.alloc(0);
  const refuse = (words: string): void =>
    reject(new Refusal("upstream-refused", `the site's proxy ${words}`));
  const timer = setTimeout(() => refuse("did not answer in time"), CONNECT_MS);
  const onData = (chunk: Buffer): void => {
    answer = Buffer.concat([answer, chunk]);
    const end = answer.indexOf("\r\n\r\n");
    if (end < 0) {
      if (answer.length > ANSWER_BYTES) refuse("answered without end");
      return;
    }
    const status = /^HTTP\/1\.[01] (?<status>[0-9]{3})[ \r]/.exec(answer.toString("latin1", 0, end + 2))
      ?.groups?.["status"];
    if (status?.startsWith("2") !== true) return refuse(`answered ${status ?? "no HTTP"}`);
    socket.pause();
    const rest = answer.subarray(end + 4);
    if (rest.length > 0) socket.unshift(rest);
    resolve();
  };
  const onClose = (): void => refuse("closed the connection");
  socket.on("data", onData).once("close", onClose).once("end", onClose);
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    socket.off("data", onData).off("close", onClose).off("end", onClose);
  }
}
