/** What each instrument sent and was given a second, from two reports. Pure. */
import type { BusReport } from "@bulkhead/schema";

export interface BusRate {
  readonly instrument: string;
  readonly sentPerSecond: number;
  readonly deliveredPerSecond: number;
}

export function busRates(first: BusReport, last: BusReport): readonly BusRate[] {
  const seconds = Math.max(0.001, (Date.parse(last.time) - Date.parse(first.time)) / 1000);
  return last.instruments.map((now) => {
    const former = first.instruments.find(({ name }) => name === now.name);
    // A sensord that began anew counts from nothing.
    const perSecond = (grown: number): number => Math.max(0, Math.round(grown / seconds));
    return {
      instrument: now.name,
      sentPerSecond: perSecond(sum(now.published) - sum(former?.published ?? {})),
      deliveredPerSecond: perSecond(now.delivered - (former?.delivered ?? 0)),
    };
  });
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
