/** What an attempt may use: system calls, files, programs of the image, connections. Implemented by the adversary. */
import type { Deed } from "../attempt.ts";
import type { SyscallName } from "./syscall-numbers.ts";

/** Bytes are passed by address, text as a C string. */
export type Argument = number | bigint | string | Uint8Array;

export interface Answer {
  readonly value: number;
  /** Name of the errno; null where the call succeeded. */
  readonly errno: string | null;
}

export interface Machine {
  call(name: SyscallName, ...args: readonly Argument[]): Answer;
  /** SO_ATTACH_FILTER of instructions of eight bytes each (socket(7)). */
  attachFilter(socket: number, program: Uint8Array): Answer;
  /** Opens a file; the descriptor is held until the deed is undone. */
  open(path: string, flags: number): Deed;
  /** Starts a program that goes on until the deed is undone; `done` once it printed `held`. */
  hold(argv: readonly string[], timeoutMs?: number): Promise<Deed>;
  /** Runs a program to its end; `done` for exit code 0, else the errno that its words name. */
  runProgram(argv: readonly string[], timeoutMs?: number): Promise<Deed>;
  /** A process of its own that does nothing. */
  child(): { readonly pid: number; readonly end: () => void };
  /** Takes connections until the deed is undone, for at least `ms`. */
  listen(port: number, ms: number): Promise<Deed>;
  /** What a Unix socket answers to each of these, one after another on one connection, within a time for each. */
  talk(path: string, parts: readonly Uint8Array[], waitMs: number): Promise<string>;
  tcp(host: string, port: number): Promise<Deed>;
  udp(host: string, port: number): Promise<Deed>;
  /** A path, or a name that begins with a NUL byte. */
  unix(path: string): Promise<Deed>;
  /** A conversation in lines over the bus's socket: what was answered until it matched, or the time was over. */
  bus(lines: readonly string[], waitMs: number, until: RegExp): Promise<string>;
  readText(path: string): string;
}
