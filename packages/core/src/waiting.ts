/**
 * What instruments wait for: devices that are absent, VLAN devices that the kernel cannot make, and addresses that no
 * server gives. It is a state to wait in, not a fault: each is taken when it comes. Pure.
 */
import type { Observed, Plan } from "@bulkhead/schema";
import type { Desired } from "./desired.ts";

/** By instrument: in the order of spans, segments, devices of its own, egress, and addresses. */
export function waitingOf(desired: Desired, observed: Observed): Plan["pending"] {
  const devices = [
    ...waitingSpans(desired, observed),
    ...waitingSegments(desired, observed),
    ...waitingNics(desired, observed),
    ...waitingEgress(desired, observed),
  ];
  const addresses = waitingAddresses(desired, observed);
  // Without the device nobody answers.
  return [...devices, ...addresses.filter((a) => !devices.some((d) => d.instrument === a.instrument))];
}

function waitingSegments(desired: Desired, observed: Observed): Plan["pending"] {
  return desired.segments.flatMap((segment) => {
    const found = observed.segments.find((s) => s.segment === segment.segment);
    const lacksVlan = segment.vlan !== null && !observed.vlanDevices;
    if (!lacksVlan && (found?.state === "ready" || observed.devices.includes(segment.device))) return [];
    const what = lacksVlan
      ? `waits for VLAN ${segment.vlan} of ${segment.device}: this kernel makes no VLAN devices`
      : `waits for device ${segment.device}, which is absent`;
    return desired.ports
      .filter((port) => port.segment === segment.segment)
      .map(({ instrument }) => ({ instrument, what }));
  });
}

function waitingNics(desired: Desired, observed: Observed): Plan["pending"] {
  return desired.nics
    .filter(({ instrument, device }) => {
      const held = observed.nics.some((n) => n.instrument === instrument && n.device === device);
      return !held && !observed.devices.includes(device);
    })
    .map(({ instrument, device }) => ({ instrument, what: `waits for device ${device}, which is absent` }));
}

function waitingEgress({ egress }: Desired, observed: Observed): Plan["pending"] {
  if (egress === null || observed.egress?.device === egress.device) return [];
  const lacksVlan = egress.vlan !== null && !observed.vlanDevices;
  if (!lacksVlan && observed.devices.includes(egress.device)) return [];
  const what = lacksVlan
    ? `waits for VLAN ${egress.vlan} of ${egress.device}: this kernel makes no VLAN devices`
    : `waits for device ${egress.device}, which is absent: it reaches nothing until then`;
  return egress.policy.permits.map(({ instrument }) => ({ instrument, what }));
}

function waitingSpans(desired: Desired, observed: Observed): Plan["pending"] {
  return desired.spans
    .filter(({ engine, device }) => {
      const taken = observed.spans.some(
        (s) => s.engine === engine && s.device === device && s.state !== "absent",
      );
      return !taken && !observed.devices.includes(device);
    })
    .map(({ engine, device }) => ({
      instrument: engine,
      what: `waits for device ${device}, which is absent`,
    }));
}

function waitingAddresses({ ports, nics, egress }: Desired, observed: Observed): Plan["pending"] {
  const lacking = (on: string, found: { readonly noLease: string | null } | null | undefined) => {
    const why = found?.noLease ?? null;
    return why === null ? null : `waits for an address on ${on}: ${why}`;
  };
  const own = [
    ...ports.map(({ instrument, segment }) => {
      const found = observed.ports.find((p) => p.instrument === instrument && p.segment === segment);
      return { instrument, what: lacking(segment, found) };
    }),
    ...nics.map(({ instrument, device }) => {
      const found = observed.nics.find((n) => n.instrument === instrument && n.device === device);
      return { instrument, what: lacking(device, found) };
    }),
  ];
  const through = egress === null ? null : lacking(egress.interface, observed.egress);
  const granted = (egress?.policy.permits ?? []).map(({ instrument }) => ({ instrument, what: through }));
  return [...own, ...granted].flatMap(({ instrument, what }) =>
    what === null ? [] : [{ instrument, what }],
  );
}
