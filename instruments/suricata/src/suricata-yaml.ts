/**
 * suricata.yaml, rendered from the operator's settings. Pure.
 *
 * Invariants: EVE goes through a FIFO (a Unix socket drops events when its reader is busy); the
 * ring is small at a large MTU; nothing outside the run directory is written, and Landlock holds
 * Suricata to that (it reads there too: a reload reads the configuration anew); offloads of the interface are left alone, since the sensor may not set them.
 * Values come from the schema alone, whose patterns admit nothing that YAML would read otherwise.
 */
import { loggersOf } from "./eve-types.ts";
import type { Settings } from "./settings.ts";

/** Where Suricata finds and puts things; all inside the container. */
export interface SuricataPaths {
  readonly interface: string;
  readonly runDir: string;
  readonly fifo: string;
  readonly commandSocket: string;
  /** Holds classification.config, reference.config and rules/ of the distribution. */
  readonly etcDir: string;
  /** Rule files of the operator; a pattern without a match would fail the check. */
  readonly operatorRules: readonly string[];
  /** Of a rule manager's set; null where there is none. */
  readonly thresholdFile: string | null;
  readonly rulesDir: string;
}

export function renderSuricataYaml(settings: Settings, paths: SuricataPaths): string {
  const { memory } = settings;
  const external = settings.externalNet === undefined ? "!$HOME_NET" : renderGroup(settings.externalNet);
  const ruleFiles = [
    ...(settings.distributionRules ? [`${paths.etcDir}/rules/*.rules`] : []),
    ...paths.operatorRules,
  ];
  return `%YAML 1.1
---
suricata-version: "7.0"
vars:
  address-groups:
    HOME_NET: "${renderGroup(settings.homeNet)}"
    EXTERNAL_NET: "${external}"
${SERVER_GROUPS.map((group) => `    ${group}: "$HOME_NET"`).join("\n")}
    AIM_SERVERS: "$EXTERNAL_NET"
  port-groups:
${Object.entries(PORT_GROUPS)
  .map(([group, ports]) => `    ${group}: "${ports}"`)
  .join("\n")}
default-log-dir: ${paths.runDir}/log
stats:
  enabled: yes
  interval: 8
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: ${paths.fifo}
      community-id: ${settings.communityId}
      types:
${renderLoggers(settings.eveTypes)}
logging:
  default-log-level: notice
  outputs:
    - console:
        enabled: yes
        type: json
runmode: workers
default-packet-size: 1514
max-pending-packets: 1024
capture:
  disable-offloading: no
  checksum-validation: none
af-packet:
  - interface: ${paths.interface}
    threads: 1
    cluster-id: 99
    cluster-type: cluster_flow
    defrag: yes
    use-mmap: yes
    tpacket-v3: yes
    ring-size: ${memory.ringPackets}
    block-size: 1048576
    block-timeout: 10
    use-emergency-flush: yes
    checksum-checks: kernel
unix-command:
  enabled: yes
  filename: ${paths.commandSocket}
security:
  limit-noproc: yes
  landlock:
    enabled: yes
    directories:
      write: [${paths.runDir}]
      read: [${paths.runDir}, ${paths.etcDir}, ${paths.rulesDir}, /usr, /etc, /proc, /sys]
flow:
  memcap: ${memory.flowMiB}mb
  hash-size: 16384
  prealloc: 1000
  emergency-recovery: 30
stream:
  memcap: ${memory.streamMiB}mb
  checksum-validation: no
  inline: no
  prealloc-sessions: 512
  reassembly:
    memcap: ${memory.reassemblyMiB}mb
    depth: 1mb
    toserver-chunk-size: 2560
    toclient-chunk-size: 2560
    randomize-chunk-size: yes
defrag:
  memcap: 16mb
  hash-size: 4096
  trackers: 4096
  max-frags: 8192
  prealloc: yes
  timeout: 60
detect:
  profile: medium
  custom-values: {toclient-groups: 3, toserver-groups: 25}
  sgh-mpm-context: auto
app-layer:
  protocols:
${Object.entries(PARSERS)
  .map(([name, parser]) => `    ${name}: ${parser}`)
  .join("\n")}
default-rule-path: ${paths.rulesDir}
rule-files: [${ruleFiles.join(", ")}]
classification-file: ${paths.etcDir}/classification.config
reference-config-file: ${paths.etcDir}/reference.config
${paths.thresholdFile === null ? "" : `threshold-file: ${paths.thresholdFile}\n`}`;
}

const SERVER_GROUPS = [
  "HTTP_SERVERS",
  "SMTP_SERVERS",
  "SQL_SERVERS",
  "DNS_SERVERS",
  "TELNET_SERVERS",
  "DC_SERVERS",
  "DNP3_SERVER",
  "DNP3_CLIENT",
  "MODBUS_CLIENT",
  "MODBUS_SERVER",
  "ENIP_CLIENT",
  "ENIP_SERVER",
];
const PORT_GROUPS = {
  HTTP_PORTS: "80",
  SHELLCODE_PORTS: "!80",
  ORACLE_PORTS: "1521",
  SSH_PORTS: "22",
  DNP3_PORTS: "20000",
  MODBUS_PORTS: "502",
  FILE_DATA_PORTS: "[$HTTP_PORTS,110,143]",
  FTP_PORTS: "21",
  GENEVE_PORTS: "6081",
  VXLAN_PORTS: "4789",
  TEREDO_PORTS: "3544",
};
/**
 * Parsers, all of them on: the distribution's rules for a protocol do not load without its parser,
 * whether its records are wanted or not.
 */
const PARSERS: Readonly<Record<string, string>> = {
  "bittorrent-dht": "{enabled: yes}",
  dcerpc: "{enabled: yes}",
  dhcp: "{enabled: yes}",
  dnp3: "{enabled: yes, detection-ports: {dp: 20000}}",
  dns: "{tcp: {enabled: yes, detection-ports: {dp: 53}}, udp: {enabled: yes, detection-ports: {dp: 53}}}",
  ftp: "{enabled: yes}",
  http: "{enabled: yes}",
  http2: "{enabled: yes}",
  ike: "{enabled: yes}",
  imap: "{enabled: detection-only}",
  krb5: "{enabled: yes}",
  modbus: "{enabled: yes, detection-ports: {dp: 502}, stream-depth: 0}",
  mqtt: "{enabled: yes}",
  nfs: "{enabled: yes}",
  ntp: "{enabled: yes}",
  pgsql: "{enabled: yes, stream-depth: 0}",
  quic: "{enabled: yes}",
  rdp: "{enabled: yes}",
  rfb: "{enabled: yes, detection-ports: {dp: '5900:5909'}}",
  sip: "{enabled: yes}",
  smb: "{enabled: yes, detection-ports: {dp: '139, 445'}}",
  smtp: "{enabled: yes}",
  snmp: "{enabled: yes}",
  ssh: "{enabled: yes}",
  telnet: "{enabled: yes}",
  tftp: "{enabled: yes}",
  tls: "{enabled: yes, detection-ports: {dp: 443}, ja3-fingerprints: auto}",
};

function renderGroup(addresses: readonly string[]): string {
  return `[${addresses.join(",")}]`;
}

function renderLoggers(eveTypes: readonly string[]): string {
  return loggersOf(eveTypes)
    .map(({ name, settings }) =>
      [
        `        - ${name}${settings.length === 0 ? "" : ":"}`,
        ...settings.map((s) => `            ${s}`),
      ].join("\n"),
    )
    .join("\n");
}
