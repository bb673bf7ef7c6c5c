/**
 * Where results go: readable text, or one line of JSON with --json. Progress and errors go to
 * stderr, so that stdout stays what was asked for.
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
    process.stdout.write(`${json ? JSON.stringify(value) : text()}\n`);
  };
  return { json, result: write, record: write, note: (text) => void process.stderr.write(`${text}\n`) };
}

type Tone = "good" | "bad" | "warn" | "dim" | "bold";
const COLOURS = { good: "green", bad: "red", warn: "yellow", dim: "gray", bold: "bold" } as const;

/** Colour where the terminal takes it; plain text in a pipe. */
export function tone(kind: Tone, text: string): string {
  return styleText(COLOURS[kind], text, { stream: process.stdout });
}
