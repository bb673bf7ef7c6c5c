/** The bench's sites, as files: a Suricata on a span of the bench, and the instruments that each sensor has. */

/** Settings of the instrument, for the one on the bare host too. */
export const SURICATA_SETTINGS = { homeNet: ["10.20.30.0/24"], ruleFiles: ["./bench.rules"] } as const;

/** Instruments of every bench site. */
export const INSTRUMENTS = ["capture", "ids", "pdns", "hello"] as const;
/** One more, with a tap of its own. */
export const SECOND_TAP = "ids-two";

/** @param device the span on this host */
export function renderBenchSite(device: string, second: boolean): string {
  const ids = `{ package: suricata, tap: { from: capture }, config: ${JSON.stringify(SURICATA_SETTINGS)} }`;
  return `apiVersion: bulkhead/v1
sensor: bench
interfaces:
  span0: { kind: span, device: ${device} }
instruments:
  capture: { package: capture-engine, source: span0 }
  ids: ${ids}
  pdns: { package: passive-dns }
  hello: { package: hello }
${second ? `  ${SECOND_TAP}: ${ids}\n` : ""}grants:
  events: [{ from: ids, type: suricata.dns, to: pdns }]
`;
}
