/**
 * The adversary's hands on Linux: raw system calls by way of the C library that is in the image.
 *
 * Invariants: it reports answers and never throws for a refusal; what it got it keeps open until told otherwise.
 */
import { spawn } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { createConnection, createServer } from "node:net";
import { createSocket } from "node:dgram";
import { constants } from "node:os";
import type koffiModule from "koffi";
import type { Deed } from "../attempt.ts";
import type { Answer, Argument, Machine } from "./machine.ts";
import { syscallNumber } from "./syscall-numbers.ts";

const NAMES = new Map<number, string>([
  ...Object.entries(constants.errno).map(([name, number]) => [number, name] as const),
  // Linux's own, which Node does not name (asm-generic/errno.h).
  [126, "ENOKEY"] as const,
]);
const CONNECT_MS = 1_500;
/** What comes right behind the answer that was waited for, as an error behind it. */
const SETTLE_MS = 100;
const OUTPUT_CHARACTERS = 4_096;

export function linuxMachine(koffi: typeof koffiModule): Machine {
  const library = koffi.load(null);
  const raw = library.func("long syscall(long, long, long, long, long, long, long)");
  const word = (value: Argument): number | bigint => {
    if (typeof value === "string") return koffi.address(Buffer.from(`${value}\0`));
    return typeof value === "object" ? koffi.address(value) : value;
  };
  const machine: Machine = {
    call(name, ...args): Answer {
      const number = syscallNumber(name, process.arch);
      if (number < 0) return { value: -1, errno: "ENOSYS" };
      // The buffers stay referenced by `args` during the call.
      const kept = args.map((arg) => (typeof arg === "string" ? Buffer.from(`${arg}\0`) : arg));
      const words = [...kept.map(word), 0, 0, 0, 0, 0, 0].slice(0, 6);
      const value = Number(raw(number, ...words));
      return value === -1 ? { value, errno: errnoName(koffi.errno()) } : { value, errno: null };
    },
    attachFilter(socket, program) {
      // struct sock_fprog: a count, and a pointer on the next word
      const header = Buffer.alloc(16);
      header.writeUInt16LE(program.length / 8, 0);
      header.writeBigUInt64LE(koffi.address(program), 8);
      return machine.call("setsockopt", socket, 1, 26, header, header.length);
    },
    open(path, flags) {
      try {
        const descriptor = openSync(path, flags, 0o600);
        return { answer: "done", undo: () => closeSync(descriptor) };
      } catch (error) {
        return refusedBy(error);
      }
    },
    hold: (argv, timeoutMs = 10_000) => holdProgram(argv, timeoutMs),
    runProgram,
    child: idleChild,
    listen: listenAt,
    talk,
    tcp: (host, port) => connectTo(() => createConnection({ host, port })),
    unix: (path) => connectTo(() => createConnection({ path })),
    udp: sendDatagram,
    bus: converse,
    readText: (path) => readFileSync(path, "utf8"),
  };
  return machine;
}

function errnoName(number: number): string {
  return NAMES.get(number) ?? `E${number}`;
}

function refusedBy(error: unknown): Deed {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return { answer: typeof code === "string" ? code : "EUNKNOWN", detail: String(error).slice(0, 160) };
}

function holdProgram(argv: readonly string[], timeoutMs: number): Promise<Deed> {
  const { promise, resolve } = Promise.withResolvers<Deed>();
  const [file = "", ...args] = argv;
  // A group of its own, so that all that it starts ends with it.
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  let said = "";
  const end = (deed: Deed): void => resolve(deed);
  const timer = setTimeout(() => {
    undo();
    end({ answer: "ETIMEDOUT", detail: said });
  }, timeoutMs);
  const undo = (): void => {
    if (child.pid === undefined) return;
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // The whole group has ended.
    }
  };
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-OUTPUT_CHARACTERS);
      if (said.includes("held")) {
        clearTimeout(timer);
        end({ answer: "done", undo });
      }
    });
  }
  child.on("error", (error) => end(refusedBy(error)));
  child.on("exit", () => {
    clearTimeout(timer);
    undo();
    end({ answer: errnoIn(said), detail: said.slice(-160) });
  });
  return promise;
}

function runProgram(argv: readonly string[], timeoutMs = 20_000): Promise<Deed> {
  const { promise, resolve } = Promise.withResolvers<Deed>();
  const [file = "", ...args] = argv;
  const child = spawn(file, args, {
    stdio: ["ignore", "pipe", "pipe"],
    timeout: timeoutMs,
    killSignal: "SIGKILL",
  });
  let said = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => {
      said = (said + text).slice(-OUTPUT_CHARACTERS);
    });
  child.on("error", (error) => resolve(refusedBy(error)));
  child.on("close", (code, signal) => {
    if (code === 0) resolve({ answer: "done", detail: said.slice(-160) });
    else if (signal !== null) resolve({ answer: signal, detail: said.slice(-160) });
    else resolve({ answer: errnoIn(said), detail: said.slice(-160) });
  });
  return promise;
}

/** C libraries' words for the refusals that attempts expect of programs. */
const WORDS: readonly (readonly [RegExp, string])[] = [
  [/Operation not permitted/, "EPERM"],
  [/Permission denied/, "EACCES"],
  [/No space left/, "ENOSPC"],
  [/Read-only file system/, "EROFS"],
  [/Resource temporarily unavailable|can't fork/, "EAGAIN"],
  [/Cannot allocate memory|out of memory|memory exhausted/i, "ENOMEM"],
  [/Function not implemented/, "ENOSYS"],
  [/No such file/, "ENOENT"],
  [/Too many open files/, "EMFILE"],
  [/Invalid argument/, "EINVAL"],
];

function errnoIn(text: string): string {
  return WORDS.find(([pattern]) => pattern.test(text))?.[1] ?? "EFAILED";
}

function connectTo(open: () => ReturnType<typeof createConnection>): Promise<Deed> {
  const { promise, resolve } = Promise.withResolvers<Deed>();
  try {
    const socket = open();
    socket.setTimeout(CONNECT_MS, () => {
      socket.destroy();
      resolve({ answer: "ETIMEDOUT" });
    });
    socket.once("connect", () => resolve({ answer: "done", undo: () => void socket.destroy() }));
    socket.once("error", (error) => resolve(refusedBy(error)));
  } catch (error) {
    resolve(refusedBy(error));
  }
  return promise;
}

function sendDatagram(host: string, port: number): Promise<Deed> {
  const { promise, resolve } = Promise.withResolvers<Deed>();
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  const end = (deed: Deed): void => {
    socket.close();
    resolve(deed);
  };
  socket.once("error", (error) => end(refusedBy(error)));
  socket.bind(0, () => {
    if (!host.includes(":")) socket.setBroadcast(true);
    socket.send("bulkhead-verify", port, host, (error) =>
      end(error === null ? { answer: "done" } : refusedBy(error)),
    );
  });
  return promise;
}

function idleChild(): { readonly pid: number; readonly end: () => void } {
  const child = spawn("/bin/busybox", ["sleep", "60"], { stdio: "ignore" });
  if (child.pid === undefined) throw new Error("no child could be started");
  return { pid: child.pid, end: () => void child.kill("SIGKILL") };
}

function listenAt(port: number, ms: number): Promise<Deed> {
  const { promise, resolve } = Promise.withResolvers<Deed>();
  const server = createServer((socket) => socket.on("error", () => undefined).resume());
  server.once("error", (error) => resolve(refusedBy(error)));
  server.listen(port, "::", () =>
    setTimeout(() => resolve({ answer: "done", undo: () => void server.close() }), ms),
  );
  return promise;
}

async function talk(path: string, parts: readonly Uint8Array[], waitMs: number): Promise<string> {
  const socket = createConnection({ path });
  let said = "";
  let over = false;
  const woken = new EventTarget();
  const wake = (): void => void woken.dispatchEvent(new Event("more"));
  socket.setEncoding("latin1").on("data", (text: string) => {
    said = (said + text).slice(0, 4096);
    wake();
  });
  for (const event of ["error", "close", "end"] as const)
    socket.on(event, () => {
      over = true;
      wake();
    });
  for (const part of parts) {
    if (over) break;
    socket.write(part);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, waitMs);
      woken.addEventListener("more", () => (clearTimeout(timer), resolve()), { once: true });
    });
  }
  socket.destroy();
  return said + (over ? "\nclosed" : "");
}

/** Everything that the bus's socket answers until it matches and a little longer, the time is over, or it is closed. */
function converse(lines: readonly string[], waitMs: number, until: RegExp): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = createConnection({ path: "/run/bulkhead/bus.sock" });
  let said = "";
  const end = (): void => {
    socket.destroy();
    resolve(said);
  };
  socket.setEncoding("utf8").on("data", (text: string) => {
    const waited = until.test(said);
    said = (said + text).slice(0, 64 * 1024);
    if (!waited && until.test(said)) setTimeout(end, SETTLE_MS);
  });
  socket.once("error", (error) => {
    said += `socket: ${error.message}`;
    end();
  });
  socket.once("close", end);
  socket.once("connect", () => {
    socket.write(`${lines.join("\r\n")}\r\n`);
    setTimeout(end, waitMs);
  });
  return promise;
}
