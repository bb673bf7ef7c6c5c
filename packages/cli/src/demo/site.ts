/** The demo's site, as a file that people can read, change and apply again. */

/** @param device the switch's span port on this host */
export function renderDemoSite(sensor: string, device: string): string {
  return `# The demo's site. Change it and apply it again: sudo ./bulkhead apply THIS-FILE
apiVersion: bulkhead/v1
sensor: ${sensor}

interfaces:
  span0: { kind: span, device: ${device} } # owned by the capture engine alone

instruments:
  capture: { package: capture-engine, source: span0 }
  ids:
    package: suricata
    tap: { from: capture } # receive-only; add filter: "not port 22" to leave frames out
    retention: 30d
    config:
      homeNet: [10.20.30.0/24]
      ruleFiles: [./demo.rules]
  pdns: { package: passive-dns, retention: 365d } # has no network: it is fed by events alone
  hello: { package: hello }

grants:
  events:
    - { from: ids, type: suricata.dns, to: pdns }

fleet:
  ui: { pdns: { roles: [analyst] } }
`;
}
