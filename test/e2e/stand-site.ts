/** The stand's usual site: an engine on its span device, and an IDS whose one rule alerts on marks (frames.ts). */

export const SPAN_KEY = "span0";
export const ENGINE = "capture";
export const RULE_FILE = "marks.rules";
export const RULE = `alert udp any any -> any 9999 (msg:"mark"; content:"bulkhead-mark"; sid:9000001; rev:1;)\n`;

export const ENGINE_LINE = `  ${ENGINE}: { package: capture-engine, source: ${SPAN_KEY} }`;

/** An IDS with the rule for marks and little else. */
export function idsLine(name = "ids", filter = ""): string {
  const settings = `{ distributionRules: false, eveTypes: [alert, dns, stats], ruleFiles: [./${RULE_FILE}] }`;
  const quoted = JSON.stringify(filter);
  return `  ${name}: { package: suricata, tap: { from: ${ENGINE}, filter: ${quoted} }, storage: { run: 64MiB, rules: 32MiB }, config: ${settings} }`;
}

/** @param instruments lines under `instruments:`, as YAML; `rest` goes behind them. */
export function renderSite(sensor: string, device: string, instruments: string, rest = ""): string {
  return `apiVersion: bulkhead/v1
sensor: ${sensor}
interfaces:
  ${SPAN_KEY}: { kind: span, device: ${device} }
instruments:
${instruments}
${rest}`;
}
