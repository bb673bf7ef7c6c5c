/** Table of results, for people: what was measured, beside what, and whether the aims are met. */
import { styleText } from "node:util";
import { renderTable } from "../../packages/cli/src/render/table.ts";
import type { Aim, Report, Result } from "./result.ts";

export function renderReport({ bench, host, results }: Report): string {
  const aims = results.flatMap((result) => result.aims.map((aim) => ({ id: result.id, aim })));
  const unmet = aims.filter(({ aim }) => !aim.met);
  const memory = `${Math.round(host.memoryBytes / 1e9)} GB`;
  const lines = [
    `${bench}: ${host.cpu}, ${host.cores} cores, ${memory}, ${host.system}, kernel ${host.kernel}, load ${host.loadBefore}`,
    renderTable(["id", "value", "quartiles", "unit", "beside (ratio)", "aims"], results.map(row)),
    `${aims.length - unmet.length} of ${aims.length} aims are met.`,
    ...renderUnmet(unmet),
  ];
  return lines.join("\n");
}

/** Aims that are missed for the same reason stand together. */
function renderUnmet(unmet: readonly { readonly id: string; readonly aim: Aim }[]): readonly string[] {
  const reasons = Map.groupBy(unmet, ({ aim }) => `${aim.on} ${aim.op} ${aim.value}: ${aim.note}`);
  return Array.from(reasons, ([reason, missed]) => {
    return `  ${colour("yellow", "not met")} ${missed.map(({ id }) => id).join(", ")}: ${reason}`;
  });
}

function row({ id, value, spread, unit, beside, ratio, aims }: Result): readonly string[] {
  const others = Object.entries(beside).map(([name, each]) => {
    const share = ratio[name];
    return `${name} ${digits(each)}${share === undefined ? "" : ` (${share})`}`;
  });
  return [
    id,
    digits(value),
    `${digits(spread[0])} … ${digits(spread[1])}`,
    unit,
    others.join("\n"),
    aims.map(mark).join("\n"),
  ];
}

function mark({ on, op, value, met }: Aim): string {
  const words = `${on === "value" ? "" : `${on} `}${op === "<=" ? "≤" : "≥"} ${value}`;
  return met ? `${colour("green", "✔")} ${words}` : `${colour("yellow", "✘")} ${words}`;
}

function digits(value: number): string {
  return value.toLocaleString("en", { maximumSignificantDigits: 4 });
}

function colour(name: "green" | "yellow", text: string): string {
  return styleText(name, text, { stream: process.stdout });
}
