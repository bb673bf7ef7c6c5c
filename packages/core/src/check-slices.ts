/**
 * Check of slices: only a volume whose tool writes by slice can be cut, in slices that are neither too short to be
 * held nor too many in a period; and one that is there already stays as it is, because no data is moved or destroyed
 * by a change of mind.
 */
import {
  type Fault,
  type Manifest,
  MOST_SLICES,
  type Observed,
  renderDuration,
  SHORTEST_SLICE_MS,
  type SiteInstrument,
} from "@bulkhead/schema";
import type { LocatedDocument, Path } from "./located-document.ts";

export interface SliceCheckInput {
  readonly document: LocatedDocument;
  /** How long what it keeps may stay. */
  readonly periodMs: number;
  readonly volumes: Observed["volumes"];
}

export function checkSlices(
  name: string,
  { slices = {} }: SiteInstrument,
  manifest: Manifest,
  { document, periodMs, volumes }: SliceCheckInput,
): readonly Fault[] {
  const able = manifest.needs.flatMap((need) =>
    need.kind === "storage.persistent" && need.slices === true ? [need.id] : [],
  );
  const faults = Object.entries(slices).flatMap(([id, lengthMs]): readonly Fault[] => {
    const path: Path = ["instruments", name, "slices", id];
    if (!able.includes(id)) {
      const message = `${manifest.name} does not write a volume ${id} by slice`;
      return [
        document.fault(
          path,
          "not-needed",
          message,
          `one of: ${able.join(", ") || "(it has none that can be cut)"}`,
        ),
      ];
    }
    const why = lengthWords(lengthMs, periodMs);
    if (why === null) return [];
    const shortest = Math.max(SHORTEST_SLICE_MS, Math.ceil(periodMs / MOST_SLICES / 1000) * 1000);
    const accepted = `a length of at least ${renderDuration(shortest)} and at most ${renderDuration(periodMs)}`;
    return [document.fault(path, "invalid-value", why, accepted)];
  });
  return [...faults, ...existing(name, slices, manifest, document, volumes)];
}

function lengthWords(lengthMs: number, periodMs: number): string | null {
  const length = `slices of ${renderDuration(lengthMs)}`;
  const period = `a period of ${renderDuration(periodMs)}`;
  if (lengthMs < SHORTEST_SLICE_MS) return `${length} are shorter than ${renderDuration(SHORTEST_SLICE_MS)}`;
  if (lengthMs > periodMs) return `${length} are longer than ${period}`;
  const count = Math.ceil(periodMs / lengthMs);
  return count > MOST_SLICES ? `${length} in ${period} are ${count}; ${MOST_SLICES} is the most` : null;
}

function existing(
  name: string,
  slices: NonNullable<SiteInstrument["slices"]>,
  manifest: Manifest,
  document: LocatedDocument,
  volumes: Observed["volumes"],
): readonly Fault[] {
  const wanted = manifest.needs.filter((need) => need.kind === "storage.persistent");
  return volumes.flatMap((volume) => {
    if (volume.instrument !== name || !wanted.some(({ id }) => id === volume.id)) return [];
    const cut = volume.slices !== undefined;
    const shall = slices[volume.id];
    if (cut === (shall !== undefined)) return [];
    const path = shall === undefined ? ["instruments", name] : ["instruments", name, "slices", volume.id];
    const message = `volume ${name}/${volume.id} is there already, and ${cut ? "cut in slices" : "not cut in slices"}`;
    const accepted = "as it is; or first a site without this instrument, which destroys its data";
    return [document.fault(path, "volume-differs", message, accepted)];
  });
}
