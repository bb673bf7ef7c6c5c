/**
 * Slice steps: what the time that has passed asks of volumes that are cut in slices. Pure.
 *
 * A slice without a record of its key is what a destruction left, and is destroyed to its end. Where an instrument
 * still has files of one open, only its own end takes them away from it: it is stopped, and started on what is left.
 */
import { type Name, type Observed, parseSlice, sliceAt, type SliceSpec, type Step } from "@bulkhead/schema";
import { isPast, slicesToOpen } from "./slices.ts";
import type { StepsInput } from "./steps-input.ts";

type SlicedVolume = Observed["volumes"][number] & {
  readonly policy: SliceSpec;
  readonly slices: NonNullable<Observed["volumes"][number]["slices"]>;
};

/** Volumes that are cut in slices, and shall be. */
function slicedVolumes({ desired, observed }: StepsInput): readonly SlicedVolume[] {
  return observed.volumes.flatMap((volume) => {
    const instrument = desired.instruments.find(({ name }) => name === volume.instrument);
    const policy = instrument?.spec.volumes.find(({ id }) => id === volume.id)?.slices;
    const { slices } = volume;
    return policy === undefined || slices === undefined ? [] : [{ ...volume, slices, policy }];
  });
}

export function sliceEnds(input: StepsInput): readonly Step[] {
  const earliestMs = input.time?.earliestMs ?? null;
  return slicedVolumes(input).flatMap(({ instrument, id, slices, policy }) =>
    slices.flatMap(({ slice, kept, key }): readonly Step[] => {
      const past = earliestMs !== null && isPast(slice, policy.periodMs, earliestMs);
      if (kept ? !past : key === "held") return [];
      const why = kept ? "its period is over" : "its key is gone";
      return [{ kind: "slice.destroy", target: `${instrument}/${id}/${slice}`, why, instrument, id, slice }];
    }),
  );
}

export function sliceOpenings(input: StepsInput): readonly Step[] {
  const { time, locked } = input;
  if (time === undefined || locked === true) return [];
  return slicedVolumes(input).flatMap(({ instrument, id, mounted, slices, policy }) => {
    if (!mounted) return [];
    const kept = slices.filter((slice) => slice.kept);
    const spent = slices.filter((slice) => !slice.kept);
    const names = [kept, spent].map((some) => some.map(({ slice }) => slice));
    return slicesToOpen(policy, time.latestMs, names[0] ?? [], names[1])
      .filter((slice) => !kept.some((one) => one.slice === slice && one.key === "present"))
      .map((slice): Step => {
        const why = kept.some((one) => one.slice === slice)
          ? "it is not open"
          : "what happens now, or next, goes into it";
        return { kind: "slice.open", target: `${instrument}/${id}/${slice}`, why, instrument, id, slice };
      });
  });
}

/** Whether an instrument has files open of a slice whose key was destroyed. */
export function clings(instrument: Name, { volumes }: Pick<Observed, "volumes">): boolean {
  return volumes.some(
    (volume) =>
      volume.instrument === instrument &&
      volume.slices?.some(({ kept, key }) => !kept && key === "held") === true,
  );
}

/** In how many milliseconds the next slice begins or ends; null where there are none, or no time. */
export function sliceDueMs(input: StepsInput): number | null {
  const { time } = input;
  if (time === undefined) return null;
  const due = slicedVolumes(input).flatMap(({ slices, policy }) => [
    sliceAt(time.latestMs, policy.lengthMs).endMs - time.latestMs,
    ...slices.flatMap(({ slice, kept }) => {
      const times = parseSlice(slice);
      if (!kept || times === null || time.earliestMs === null) return [];
      return [times.endMs + policy.periodMs - time.earliestMs];
    }),
  ]);
  const ahead = due.filter((ms) => ms > 0);
  return ahead.length === 0 ? null : Math.min(...ahead);
}
