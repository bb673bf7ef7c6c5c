/**
 * What the vault changes in a plan: nothing that needs persistent data is made or started while it is locked, and no
 * volume stays open whose instrument does not run.
 */
import type { Name, Step, StepKind } from "@bulkhead/schema";
import type { StepsInput } from "./steps-input.ts";

/** What brings an instrument up, or is of use only to one that runs. */
const WITHHELD: ReadonlySet<StepKind> = new Set([
  "volume.create",
  "instrument.create",
  "instrument.start",
  "wire.connect",
  "mirror.set",
  "port.connect",
  "nic.give",
] satisfies readonly StepKind[]);

/** Instruments that wait for the vault: one that runs has its keys in the kernel, and runs on. */
export function waitingForVault({ locked, desired, observed, stopped }: StepsInput): readonly Name[] {
  if (locked !== true) return [];
  return desired.instruments
    .filter(({ name, enabled, spec }) => {
      const runs = observed.instruments.some((i) => i.name === name && i.state === "running");
      return enabled && !runs && !stopped.includes(name) && spec.volumes.some((v) => v.kind === "persistent");
    })
    .map(({ name }) => name);
}

/** The steps that can be taken as the vault is. */
export function withoutLocked(steps: readonly Step[], input: StepsInput): readonly Step[] {
  if (input.locked !== true) return steps;
  const running = new Set(input.observed.instruments.filter((i) => i.state === "running").map((i) => i.name));
  const persistent = new Set(
    input.desired.instruments
      .filter(({ name, spec }) => !running.has(name) && spec.volumes.some((v) => v.kind === "persistent"))
      .map(({ name }) => name),
  );
  return steps.filter(
    (step) => !("instrument" in step && persistent.has(step.instrument) && WITHHELD.has(step.kind)),
  );
}

/** What a crash left open: a volume of an instrument that does not run, and will not by these steps. */
export function closures(steps: readonly Step[], { observed }: StepsInput): readonly Step[] {
  const touched = new Set(
    steps.flatMap((step) =>
      step.kind === "instrument.start" ||
      step.kind === "instrument.create" ||
      step.kind === "instrument.stop" ||
      step.kind === "instrument.remove"
        ? [step.instrument]
        : [],
    ),
  );
  return observed.volumes.flatMap(({ instrument, id, kind, mounted }) => {
    const found = observed.instruments.find((i) => i.name === instrument);
    const open = mounted || kind === "transient";
    if (!open || touched.has(instrument) || (found !== undefined && found.state !== "stopped")) return [];
    const target = `${instrument}/${id}`;
    return [{ kind: "volume.detach", target, why: `${instrument} does not run`, instrument, id }];
  });
}
