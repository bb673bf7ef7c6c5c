/** Welcome: what is in force on the bus, as one instrument is told when it greets. Pure. */
import type { BusPlan } from "@bulkhead/core";
import type { Name, Welcome } from "@bulkhead/schema";

export interface AppliedBus {
  readonly sensor: Name;
  readonly plan: BusPlan;
  readonly retained: readonly Name[];
}

/** Null where the instrument is none of the plan's. */
export function welcomeOf({ sensor, plan }: AppliedBus, instrument: Name): Welcome | null {
  const member = plan.instruments.find(({ name }) => name === instrument);
  if (member === undefined) return null;
  return {
    instrument,
    sensor,
    consumers: plan.consumers
      .filter(({ to }) => to === instrument)
      .map(({ stream, name, from, type }) => ({ stream, consumer: name, from, type })),
    emits: [...member.emits],
    sends: plan.messages
      .filter(({ from }) => from === instrument)
      .map(({ to, verb, deadlineMs }) => ({ to, verb, deadlineMs })),
    accepts: plan.messages.filter(({ to }) => to === instrument).map(({ from, verb }) => ({ from, verb })),
    publishes: [...member.publishes],
    receives: plan.resources.filter(({ to }) => to === instrument).map(({ from, type }) => ({ from, type })),
  };
}
