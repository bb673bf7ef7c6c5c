/**
 * Steps of segments, ports and dedicated devices.
 *
 * What goes, goes first and only after its instrument has stopped, so that a device is free for whom it is meant next.
 * What comes is whole (rules, then addresses, then up) before the container starts. A change of listen, egress or
 * addresses is a step of the port alone: the container stays.
 */
import type { Name, Step } from "@bulkhead/schema";
import type { DesiredNic, DesiredPort } from "./desired.ts";
import { runsByName, type StepsInput } from "./steps-input.ts";

export interface NetworkRemovals {
  readonly steps: readonly Step[];
  /** Instruments that these steps stop. */
  readonly stopped: ReadonlySet<Name>;
}

export function networkRemovals(input: StepsInput): NetworkRemovals {
  const { desired, observed } = input;
  const steps: Step[] = [];
  const stopped = new Set<Name>();
  const stop = (instrument: Name): void => {
    const found = observed.instruments.find((i) => i.name === instrument);
    const wanted = desired.instruments.some((i) => i.name === instrument);
    // One that left the site was removed by a step before.
    if (found === undefined || !wanted || found.state === "stopped" || stopped.has(instrument)) return;
    stopped.add(instrument);
    const why = "its network goes before it runs again";
    steps.push({ kind: "instrument.stop", target: instrument, why, instrument });
  };
  const ports = wantedPorts(input);
  const nics = wantedNics(input);
  for (const { instrument } of observed.ports) {
    if (ports.some((p) => p.instrument === instrument)) continue;
    stop(instrument);
    const why = "no port for it in the site, or it does not run";
    steps.push({ kind: "port.disconnect", target: instrument, why, instrument });
  }
  for (const { instrument, device } of observed.nics) {
    const next = nics.find((n) => n.instrument === instrument);
    if (next !== undefined && (device === null || device === next.device)) continue;
    stop(instrument);
    const why = next === undefined ? "no device for it in the site, or it does not run" : "it gets another";
    steps.push({ kind: "nic.return", target: device ?? instrument, why, instrument });
  }
  for (const found of observed.segments) {
    const kept = desired.segments.some(
      (s) => s.segment === found.segment && s.device === found.device && s.vlan === found.vlan,
    );
    if (!kept) {
      const why = "no instrument of the site has a port on it";
      steps.push({ kind: "segment.remove", target: found.segment, why, segment: found.segment });
    }
  }
  return { steps, stopped };
}

export function networkFoundations(input: StepsInput): readonly Step[] {
  return [...segments(input), ...ports(input), ...nics(input)];
}

function segments({ desired, observed }: StepsInput): readonly Step[] {
  return desired.segments.flatMap((segment): readonly Step[] => {
    const found = observed.segments.find(
      (s) => s.segment === segment.segment && s.device === segment.device && s.vlan === segment.vlan,
    );
    const possible = segment.vlan === null || observed.vlanDevices;
    const arrived = found?.state === "waiting" && possible && observed.devices.includes(segment.device);
    if (found !== undefined && found.state !== "incomplete" && !arrived) return [];
    const why =
      found === undefined
        ? "instruments of the site have ports on it"
        : arrived
          ? `${segment.device} is there now`
          : "a part of it is missing";
    return [{ kind: "segment.create", target: segment.segment, why, ...segment }];
  });
}

function ports(input: StepsInput): readonly Step[] {
  return wantedPorts(input).flatMap((port): readonly Step[] => {
    const found = input.observed.ports.find((p) => p.instrument === port.instrument);
    const remade = !input.observed.segments.some((s) => isDesiredSegment(s, input, port.segment));
    const same = found?.segment === port.segment && !remade;
    if (same && found.state === "connected" && found.policy === port.policy) return [];
    const why = !same
      ? `the site gives it a port on ${port.segment}`
      : found.state === "broken"
        ? "a part of its port or rules is missing"
        : "what may pass its port has changed";
    const { listen, egress, networks, ...rest } = port;
    return [
      {
        kind: "port.connect",
        target: port.instrument,
        why,
        ...rest,
        listen: [...listen],
        egress: [...egress],
        networks: [...networks],
      },
    ];
  });
}

/** A segment that is made anew takes its ports with it. */
function isDesiredSegment(
  found: StepsInput["observed"]["segments"][number],
  { desired }: StepsInput,
  name: Name,
): boolean {
  return desired.segments.some(
    (s) =>
      s.segment === name && s.segment === found.segment && s.device === found.device && s.vlan === found.vlan,
  );
}

function nics(input: StepsInput): readonly Step[] {
  return wantedNics(input).flatMap((nic): readonly Step[] => {
    const found = input.observed.nics.find((n) => n.instrument === nic.instrument);
    const held = found?.device === nic.device ? found : undefined;
    const absent = !input.observed.devices.includes(nic.device);
    if (held?.state === "given" && held.policy === nic.policy) return [];
    // Its namespace is there, and there is no device to move into it.
    if (found?.state === "waiting" && absent) return [];
    const why =
      held === undefined
        ? `the site gives it ${nic.device} to itself`
        : held.state === "given"
          ? "its addresses have changed"
          : "a part of it is missing";
    return [{ kind: "nic.give", target: nic.device, why, ...nic }];
  });
}

function wantedPorts(input: StepsInput): readonly DesiredPort[] {
  return input.desired.ports.filter((port) => runsByName(port.instrument, input));
}

function wantedNics(input: StepsInput): readonly DesiredNic[] {
  return input.desired.nics.filter((nic) => runsByName(nic.instrument, input));
}
