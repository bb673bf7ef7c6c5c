/**
 * Steps of the egress proxy: its interface taken and ruled before the process may use it, its policy before the
 * containers that are granted something, and all of it gone first when nothing is granted any more.
 */
import type { Step } from "@bulkhead/schema";
import type { StepsInput } from "./steps-input.ts";

export function egressRemovals({ desired, observed }: StepsInput): readonly Step[] {
  const { egress: found } = observed;
  const wanted = desired.egress;
  if (found === null) return [];
  const same =
    wanted !== null &&
    found.interface === wanted.interface &&
    (found.device ?? wanted.device) === wanted.device;
  if (same) return [];
  const why =
    wanted === null ? "no instrument is granted anything through it" : "the site names another interface";
  return [{ kind: "egress.close", target: found.interface, why }];
}

export function egressFoundations(input: StepsInput): readonly Step[] {
  const wanted = input.desired.egress;
  if (wanted === null) return [];
  const gone = egressRemovals(input).length > 0;
  const found = gone ? null : input.observed.egress;
  const possible = wanted.vlan === null || input.observed.vlanDevices;
  const there =
    possible &&
    (input.observed.devices.includes(wanted.device) ||
      (input.observed.egress?.device ?? null) === wanted.device);
  const whole = found?.state === "open" && found.setup === wanted.setup;
  const { policy, policyDigest, ...setup } = wanted;
  const steps: Step[] = [];
  if (!whole && there) {
    const why =
      found === null
        ? "instruments are granted hosts through it"
        : found.state === "open"
          ? "what may go out of it has changed"
          : "a part of it is missing";
    steps.push({
      kind: "egress.open",
      target: wanted.interface,
      why,
      ...setup,
      dns: [...setup.dns],
      private: [...setup.private],
      ports: [...setup.ports],
    });
  }
  if ((whole || there) && (found?.policy !== policyDigest || !found.process)) {
    const names = policy.permits.map((permit) => permit.instrument).join(", ");
    const why = found?.policy === policyDigest ? "the proxy does not run" : `what ${names} may reach`;
    steps.push({ kind: "egress.permit", target: wanted.interface, why, policy, policyDigest });
  }
  return steps;
}
