/** Tables as people read them in a terminal: a header, aligned columns, no rules. */
import Table from "cli-table3";
import { tone } from "../output.ts";

type Cell = string | number;

/** Numbers stand to the right. */
export function renderTable(head: readonly string[], rows: readonly (readonly Cell[])[]): string {
  const numeric = head.map(
    (_, column) => rows.length > 0 && rows.every((row) => typeof row[column] === "number"),
  );
  const table = new Table({
    head: head.map((title) => tone("dim", title)),
    colAligns: numeric.map((right) => (right ? "right" : "left")),
    chars: Object.fromEntries(BORDERS.map((name) => [name, name === "middle" ? "  " : ""])),
    style: { "padding-left": 0, "padding-right": 0, head: [], border: [] },
  });
  table.push(
    ...rows.map((row) => row.map((cell) => (typeof cell === "number" ? cell.toLocaleString("en") : cell))),
  );
  return table
    .toString()
    .split("\n")
    .map((line) => line.trimEnd())
    .join("\n");
}

const BORDERS = [
  "top",
  "top-mid",
  "top-left",
  "top-right",
  "bottom",
  "bottom-mid",
  "bottom-left",
  "bottom-right",
  "left",
  "left-mid",
  "mid",
  "mid-mid",
  "right",
  "right-mid",
  "middle",
];
