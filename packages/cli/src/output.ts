/**
 * Where results go: readable text, or one line of JSON with --json. Progress and errors go to
 * stderr, so that stdout stays what was asked for.
 *
 * Invariant: nothing but our own colours steers the terminal. Names, log lines and events hold what instruments and
 * the network wrote, and root reads them. (JSON escapes control characters by itself.)
 */
import { styleText } from "node:util";

export interface Output {
  readonly json: boolean;
  /** The result: `value` for machines, `text` for people. */
  result(value: unknown, text: () => string): void;
  /** One record of a stream. */
  record(value: unknown, text: () => string): void;
  note(text: string): void;
}

export function outputTo(json: boolean): Output {
  const write = (value: unknown, text: () => string): void => {
    process.stdout.write(`${json ? JSON.stringify(value) : printable(text())}\n`);
  };
  return { json, result: write, record: write, note: sayAside };
}

/** To stderr: progress, and what went wrong. */
export function sayAside(text: string): void {
  process.stderr.write(`${printable(text)}\n`);
}

// Line feeds and tabs stay, and the sequences that `tone` writes (ECMA-48, SGR).
const STEERING = new RegExp(
  String.raw`\x1b(?!\[(?:1|22|31|32|33|39|90)m)|[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]`,
  "g",
);

/** The text without what moves a cursor, renames a window, or turns the direction of reading. Pure. */
export function printable(text: string): string {
  return text.replaceAll(STEERING, "·");
}

type Tone = "good" | "bad" | "warn" | "dim" | "bold";
const COLOURS = { good: "green", bad: "red", warn: "yellow", dim: "gray", bold: "bold" } as const;

/** Colour where the terminal takes it; plain text in a pipe. */
export function tone(kind: Tone, text: string): string {
  return styleText(COLOURS[kind], text, { stream: process.stdout });
}
