/**
 * Quantities as people write them: sizes (`256MiB`) and durations (`90d`).
 *
 * Both are parsed into numbers at the edge; inside, names carry the unit (`sizeBytes`, `ageMs`).
 */
import * as z from "zod";

const SIZE_UNITS = { KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const;
const DURATION_UNITS = { s: 1e3, m: 60e3, h: 3600e3, d: 86400e3 } as const;

/** `256MiB` → bytes. Accepts KiB, MiB, GiB, TiB. */
export const Size = z
  .string()
  .regex(/^[1-9][0-9]{0,5}(KiB|MiB|GiB|TiB)$/, "a size such as 256MiB or 1GiB")
  .meta({ description: "a size such as 256MiB or 1GiB" })
  .transform((text) => {
    const unit = text.slice(-3) as keyof typeof SIZE_UNITS; // the pattern admits these units alone
    return Number(text.slice(0, -3)) * SIZE_UNITS[unit];
  });

/** `90d` → milliseconds. Accepts s, m, h, d. */
export const Duration = z
  .string()
  .regex(/^[1-9][0-9]{0,6}[smhd]$/, "a duration such as 30s, 12h or 90d")
  .meta({ description: "a duration such as 30s, 12h or 90d" })
  .transform((text) => {
    const unit = text.slice(-1) as keyof typeof DURATION_UNITS; // the pattern admits these units alone
    return Number(text.slice(0, -1)) * DURATION_UNITS[unit];
  });

/** 268435456 → `256 MiB`; one decimal below 10 where it says something. */
export function renderSize(sizeBytes: number): string {
  return renderIn(sizeBytes, [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
    ["B", 1],
  ]);
}

/** 7776000000 → `90 d`. */
export function renderDuration(durationMs: number): string {
  return renderIn(durationMs, [
    ["d", 86400e3],
    ["h", 3600e3],
    ["min", 60e3],
    ["s", 1e3],
    ["ms", 1],
  ]);
}

function renderIn(value: number, units: readonly (readonly [string, number])[]): string {
  for (const [unit, factor] of units) {
    if (value >= factor) {
      const scaled = value / factor;
      return `${scaled < 10 && !Number.isInteger(scaled) ? scaled.toFixed(1) : Math.round(scaled)} ${unit}`;
    }
  }
  return `0 ${units.at(-1)?.[0] ?? ""}`.trim();
}
