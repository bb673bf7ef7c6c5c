/**
 * Render: one rule file out of a set: its enabled rules, one a line, by gid and sid, then the
 * thresholds as remarks that the suricata instrument takes out. Equal sets give equal bytes. Pure.
 *
 * `places[n]` is where line n + 1 came from, so that what Suricata says of the file can be told of
 * the source. It is written as short as it can be: a set has tens of thousands of lines.
 */
import * as z from "zod";
import { renderRule, type Place, type Rule } from "./rule.ts";

/** What a threshold's line begins with; to everybody else it is a remark. */
const THRESHOLD_MARK = "#threshold.config ";

export interface RenderedSet {
  readonly text: string;
  readonly places: LineMap;
}

/** Sources' files, and for each line of the rendered file which of them and where. */
export const LineMap = z.strictObject({
  files: z.array(z.strictObject({ source: z.string(), file: z.string() })),
  file: z.array(z.int()),
  line: z.array(z.int()),
});
export type LineMap = z.infer<typeof LineMap>;

export function renderSet(rules: readonly Rule[], thresholds: readonly string[]): RenderedSet {
  const enabled = rules.filter((rule) => rule.enabled);
  const index = new Map<string, number>();
  const places: LineMap = { files: [], file: [], line: [] };
  for (const { place } of enabled) {
    const key = `${place.source}\0${place.file}`;
    let file = index.get(key);
    if (file === undefined) {
      file = places.files.length;
      index.set(key, file);
      places.files.push({ source: place.source, file: place.file });
    }
    places.file.push(file);
    places.line.push(place.line);
  }
  const lines = [...enabled.map(renderRule), ...thresholds.map((line) => `${THRESHOLD_MARK}${line}`)];
  return { text: lines.map((line) => `${line}\n`).join(""), places };
}

/** Where a line (from 1) of the rendered file came from; null for one that is no rule. */
export function placeOf(places: LineMap, line: number | null): Place | null {
  if (line === null) return null;
  const file = places.files[places.file[line - 1] ?? -1];
  const at = places.line[line - 1];
  return file === undefined || at === undefined ? null : { ...file, line: at };
}
