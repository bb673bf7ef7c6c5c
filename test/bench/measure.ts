/**
 * Measure: what a list of samples says. Pure.
 *
 * Invariants: a quantile is interpolated between order statistics (type 7 of Hyndman and Fan, what R and NumPy do by
 * default); no samples is an error and never a zero, so that nothing unmeasured looks fast.
 */

/** Quartiles of a measurement. */
export interface Summary {
  readonly median: number;
  /** First and third quartile. */
  readonly spread: readonly [number, number];
}

/** @throws RangeError for no samples. */
export function summarise(samples: readonly number[]): Summary {
  return {
    median: quantile(samples, 0.5),
    spread: [quantile(samples, 0.25), quantile(samples, 0.75)],
  };
}

/**
 * @param q from 0 to 1
 * @throws RangeError for no samples, or a `q` outside
 */
export function quantile(samples: readonly number[], q: number): number {
  if (!(q >= 0 && q <= 1)) throw new RangeError(`no quantile: ${q}`);
  const sorted = samples.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * q;
  const below = sorted[Math.floor(place)];
  const above = sorted[Math.ceil(place)];
  if (below === undefined || above === undefined) throw new RangeError("nothing was measured");
  return below + (above - below) * (place - Math.floor(place));
}

/** Rounded to four significant digits: what a shared machine can tell at best. */
export function round(value: number): number {
  return Number(value.toPrecision(4));
}
