/** The site of the noisy bench: a capture engine with a tap, a bystander, and three instruments that do harm. */
import { ATTACKER_NAMES, type AttackerName } from "./attack-scripts.ts";

export const BYSTANDER = "pdns";
/** The tap whose frames are counted. */
export const TAP = "ids";
export const QUIET_INSTRUMENTS = ["capture", TAP, BYSTANDER] as const;

const IDS =
  "tap: { from: capture }, storage: { run: 64MiB, rules: 32MiB }, config: { distributionRules: false }";
const PACKAGES: Readonly<Record<AttackerName, string>> = {
  noisy: "{ package: passive-dns, storage: { db: 64MiB } }",
  "noisy-bus": "{ package: hello }",
  "noisy-tap": `{ package: suricata, ${IDS} }`,
};

/** @param device the span on this host */
export function renderNoisySite(device: string): string {
  return `apiVersion: bulkhead/v1
sensor: bench
interfaces:
  span0: { kind: span, device: ${device} }
instruments:
  capture: { package: capture-engine, source: span0 }
  ${TAP}: { package: suricata, ${IDS} }
  ${BYSTANDER}: { package: passive-dns, storage: { db: 64MiB } }
${ATTACKER_NAMES.map((name) => `  ${name}: ${PACKAGES[name]}\n`).join("")}`;
}
