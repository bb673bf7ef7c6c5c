/**
 * Progress of long work, on stderr: one line a step when it ends, and on a terminal the one that
 * runs now.
 */
import { styleText } from "node:util";
import type { Progress } from "@bulkhead/host";

const { stderr } = process;

export function progressPrinter(): Progress {
  return ({ step, state, detail, ms }) => {
    const live = stderr.isTTY;
    if (state === "start") {
      if (live) stderr.write(`\r\u001b[K  … ${step}: ${detail}`);
      return;
    }
    const mark = state === "done" ? colour("green", "✔") : colour("red", "✘");
    stderr.write(
      `${live ? "\r\u001b[K" : ""}${mark} ${step}: ${detail} ${colour("gray", `(${renderTook(ms)})`)}\n`,
    );
  };
}

export function renderTook(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

function colour(name: "green" | "red" | "gray", text: string): string {
  return styleText(name, text, { stream: stderr });
}
