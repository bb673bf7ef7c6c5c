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
  /** Opens a file; the descriptor is held until the deed is undone. */
  open(path: string, flags: number): Deed;
  /** Starts a program that goes on until the deed is undone; `done` once it printed `held`. */
  hold(argv: readonly string[], timeoutMs?: number): Promise<Deed>;
  /** Runs a program to its end; `done` for exit code 0, else the errno that its words name. */
  runProgram(argv: readonly string[], timeoutMs?: number): Promise<Deed>;
  tcp(host: string, port: number): Promise<Deed>;
  udp(host: string, port: number): Promise<Deed>;
  /** A path, or a name that begins with a NUL byte. */
  unix(path: string): Promise<Deed>;
  /** A conversation in lines over the bus's socket: what was answered within the time. */
  bus(lines: readonly string[], waitMs: number): Promise<string>;
  readText(path: string): string;
}
