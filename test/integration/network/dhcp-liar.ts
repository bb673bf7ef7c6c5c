/**
 * A DHCP server that says what it is told to say, true or not: a process in a namespace (RFC 2131). Without a word it is
 * silent. The domain name in its answers tries to be more than one value.
 */
import { createSocket } from "node:dgram";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

export interface DhcpWord {
  readonly address: string;
  /** Netmask as an address. */
  readonly mask: string;
  readonly router: string;
  readonly leaseS: number;
}

export interface DhcpLiar extends AsyncDisposable {
  /** From now on every client is told this; null: nothing. */
  say(word: DhcpWord | "nak" | null): void;
  /** How many messages of clients came so far. */
  heard(): number;
}

/** RFC 2131, section 2, and RFC 2132: message types, and where the fixed fields end. */
const [OFFER, REQUEST, ACK, NAK] = [2, 3, 5, 6] as const;
const OPTIONS_AT = 240;

/** @param server the address of the machine that it runs on, in a network of 24 bits */
export async function startDhcpLiar(namespace: string, server: string): Promise<DhcpLiar> {
  const argv = [`--net=/run/netns/${namespace}`, "--", process.execPath, import.meta.filename, server];
  const child = spawn("nsenter", argv, { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "exit");
  let heard = -1;
  const ready = Promise.withResolvers<void>();
  createInterface({ input: child.stdout }).on("line", () => {
    heard += 1;
    ready.resolve();
  });
  await Promise.race([ready.promise, ended]);
  return {
    say: (word) => void child.stdin.write(`${JSON.stringify(word)}\n`),
    heard: () => heard,
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function serve(server: string): Promise<void> {
  let word: DhcpWord | "nak" | null = null;
  // The caller is the test beside this file.
  createInterface({ input: process.stdin }).on("line", (line) => (word = JSON.parse(line) as typeof word));
  const socket = createSocket("udp4");
  socket.bind(67);
  await once(socket, "listening");
  socket.setBroadcast(true);
  socket.on("message", (asked, { address }) => {
    console.log("asked");
    if (word === null) return;
    // A client without an address is told by a broadcast of the wire.
    const to = address === "0.0.0.0" ? server.replace(/\d+$/, "255") : address;
    socket.send(answerTo(asked, word, server), 68, to);
  });
  console.log("ready");
}

function answerTo(asked: Buffer, word: DhcpWord | "nak", server: string): Buffer {
  const type = asked[asked.indexOf(Buffer.from([53, 1]), OPTIONS_AT) + 2];
  const answer = Buffer.alloc(OPTIONS_AT);
  answer.set([2, 1, 6, 0]);
  // Transaction, flags, the client's hardware address, the magic cookie.
  for (const [from, to] of [
    [4, 8],
    [10, 12],
    [28, 44],
    [236, 240],
  ] as const)
    asked.copy(answer, from, from, to);
  const option = (code: number, value: readonly number[]): Buffer =>
    Buffer.from([code, value.length, ...value]);
  const ip = (text: string): readonly number[] => text.split(".").map(Number);
  const text = (value: string): readonly number[] => [...Buffer.from(value)];
  if (word === "nak")
    return Buffer.concat([answer, option(53, [NAK]), option(54, ip(server)), Buffer.from([255])]);
  answer.set(ip(word.address), 16);
  const lease = Buffer.alloc(4);
  lease.writeUInt32BE(word.leaseS);
  return Buffer.concat([
    answer,
    option(53, [type === REQUEST ? ACK : OFFER]),
    option(54, ip(server)),
    option(51, [...lease]),
    option(1, ip(word.mask)),
    option(3, ip(word.router)),
    option(15, text("x\nip=192.0.2.50")),
    Buffer.from([255]),
  ]);
}

if (process.argv[1] === import.meta.filename) await serve(process.argv[2] ?? "");
