/**
 * Interface counters: what the kernel counted on each device of this network namespace, from
 * /proc/net/dev (proc_net(5)). Counts are since the device was made.
 */

export interface InterfaceCounters {
  readonly name: string;
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly rxErrors: number;
  readonly rxDropped: number;
  readonly txBytes: number;
  readonly txPackets: number;
  readonly txErrors: number;
  readonly txDropped: number;
}

/** Parses the text of /proc/net/dev; the loopback device is left out. */
export function parseInterfaceCounters(text: string): readonly InterfaceCounters[] {
  return text.split("\n").flatMap((line) => {
    // Names may hold colons; the one before the numbers is the last.
    const match = /^\s*(\S+):\s*(\d[\d\s]*)$/.exec(line);
    if (match?.[1] === undefined || match[2] === undefined || match[1] === "lo") return [];
    const n = match[2].trim().split(/\s+/).map(Number);
    const [rxBytes, rxPackets, rxErrors, rxDropped] = n;
    const [txBytes, txPackets, txErrors, txDropped] = n.slice(8);
    if (rxBytes === undefined || rxPackets === undefined || rxErrors === undefined) return [];
    if (rxDropped === undefined || txBytes === undefined || txPackets === undefined) return [];
    if (txErrors === undefined || txDropped === undefined) return [];
    const name = match[1];
    return [{ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }];
  });
}

/** One line for the health report: packets a second between two readings, by device. */
export function renderRates(
  before: readonly InterfaceCounters[],
  after: readonly InterfaceCounters[],
  elapsedMs: number,
): string {
  return after
    .map((counters) => {
      const former = before.find(({ name }) => name === counters.name);
      const packets = counters.rxPackets - (former?.rxPackets ?? counters.rxPackets);
      // A device that was made anew begins at zero.
      const rate = elapsedMs > 0 ? Math.max(0, Math.round((packets * 1000) / elapsedMs)) : 0;
      return `${counters.name} ${rate} packets/s`;
    })
    .join(", ");
}
