/**
 * Copy cost: how long a core is busy with one copy, worked out from rates on one core. Pure.
 *
 * With n taps a frame takes the time of a frame without a mirror, and n times that of a copy.
 */
import { round } from "../measure.ts";
import type { Result } from "../result.ts";

/**
 * @param eight rates with 8 taps, beside `limit` and `tc`
 * @param oneCore rates with 1 tap and one core for all, beside `daemonlogger` where there is one
 */
export function copyCost(eight: Result, oneCore: Result | undefined): Result {
  const limit = eight.beside["limit"] ?? Number.NaN;
  const costNs = (rate: number, copies: number): number => (1e9 / rate - 1e9 / limit) / copies;
  const value = costNs(eight.value, 8);
  const [low, high] = eight.spread;
  const beside = Object.fromEntries(
    [
      ["tc", costNs(eight.beside["tc"] ?? Number.NaN, 8)] as const,
      ["daemonlogger", costNs(oneCore?.beside["daemonlogger"] ?? Number.NaN, 1)] as const,
    ].filter(([, cost]) => cost > 0),
  );
  return {
    id: eight.id.replace("datapath.8x", "datapath.copy.x"),
    value: round(value),
    unit: "ns",
    // The faster quartile is the cheaper copy.
    spread: [round(costNs(high, 8)), round(costNs(low, 8))],
    beside: Object.fromEntries(Object.entries(beside).map(([name, cost]) => [name, round(cost)])),
    ratio: Object.fromEntries(Object.entries(beside).map(([name, cost]) => [name, round(value / cost)])),
    aims: [],
  };
}
