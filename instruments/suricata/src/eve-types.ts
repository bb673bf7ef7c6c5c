/**
 * EVE types: which event types Suricata 7 writes, and which of its loggers writes them.
 * instrument.yaml declares one `event.emit` for each; a test holds the two
 * together.
 *
 * `drop` is missing: it is written by an inline sensor alone, and a receive-only tap is none.
 */

/** One logger of the `eve-log` output: the event types that it writes and its settings. */
interface EveLogger {
  readonly name: string;
  readonly types: readonly string[];
  readonly settings?: readonly string[];
}

const EVE_LOGGERS: readonly EveLogger[] = [
  { name: "alert", types: ["alert"], settings: ["tagged-packets: yes"] },
  { name: "anomaly", types: ["anomaly"], settings: ["enabled: yes"] },
  { name: "bittorrent-dht", types: ["bittorrent_dht"] },
  { name: "dcerpc", types: ["dcerpc"] },
  { name: "dhcp", types: ["dhcp"], settings: ["enabled: yes", "extended: no"] },
  { name: "dnp3", types: ["dnp3"] },
  { name: "dns", types: ["dns"], settings: ["version: 2"] },
  { name: "files", types: ["fileinfo"], settings: ["force-magic: no"] },
  { name: "flow", types: ["flow"] },
  { name: "ftp", types: ["ftp", "ftp_data"] },
  { name: "http", types: ["http"], settings: ["extended: yes"] },
  { name: "http2", types: ["http"] },
  { name: "ike", types: ["ike"] },
  { name: "krb5", types: ["krb5"] },
  { name: "metadata", types: ["metadata"] },
  { name: "modbus", types: ["modbus"] },
  { name: "mqtt", types: ["mqtt"] },
  { name: "netflow", types: ["netflow"] },
  { name: "nfs", types: ["nfs"] },
  { name: "pgsql", types: ["pgsql"], settings: ["enabled: yes"] },
  { name: "quic", types: ["quic"] },
  { name: "rdp", types: ["rdp"] },
  { name: "rfb", types: ["rfb"] },
  { name: "sip", types: ["sip"] },
  { name: "smb", types: ["smb"] },
  { name: "smtp", types: ["smtp"] },
  { name: "snmp", types: ["snmp"] },
  { name: "ssh", types: ["ssh"] },
  {
    name: "stats",
    types: ["stats"],
    settings: ["totals: yes", "threads: no", "deltas: no"],
  },
  { name: "tftp", types: ["tftp"] },
  { name: "tls", types: ["tls"], settings: ["extended: yes"] },
];

/** All event types, sorted. */
export const EVE_TYPES: readonly string[] = [
  ...new Set(EVE_LOGGERS.flatMap(({ types }) => types)),
].toSorted();

/** Of these an operator who asks for nothing gets all: what remains says the same again, or of the sensor. */
const NOT_BY_DEFAULT: ReadonlySet<string> = new Set(["metadata", "netflow", "stats"]);
export const DEFAULT_EVE_TYPES: readonly string[] = EVE_TYPES.filter((type) => !NOT_BY_DEFAULT.has(type));

/** Loggers that write any of these types. */
export function loggersOf(
  types: readonly string[],
): readonly { readonly name: string; readonly settings: readonly string[] }[] {
  return EVE_LOGGERS.filter((logger) => logger.types.some((type) => types.includes(type))).map(
    ({ name, settings }) => ({ name, settings: settings ?? [] }),
  );
}
