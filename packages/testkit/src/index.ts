/**
 * @bulkhead/testkit: the demo's protected network, its traffic and attacks, and the tools of tests and benches.
 *
 * The demo's program itself is demo-main.ts, an entry that nothing imports.
 */
export { ATTACKS, ATTACK_IDS, type AttackId, type AttackPlan, isAttackId } from "./attacks.ts";
export { type Capture, type CaptureOptions, capture } from "./capture.ts";
export { type CommandOptions, type CommandOutput, runCommand, tryCommand } from "./command.ts";
export { type Activity, activityAt } from "./demo-activity.ts";
export { type DemoCertificate, makeDemoCertificate } from "./demo-certificate.ts";
export { type FeedFiles, openFeedFiles, publishFile } from "./demo-feed-files.ts";
export {
  type DemoFeed,
  FEED_ADDRESS,
  FEED_CLIENT_ADDRESS,
  FEED_HOST,
  demoFeed,
  makeDemoFeed,
  observeDemoFeed,
  removeDemoFeed,
} from "./demo-feed.ts";
export { type DemoHosts, type DemoHostsOptions, startDemoHosts } from "./demo-hosts.ts";
export {
  type DemoNetworkState,
  type MissingPart,
  type SpanState,
  makeDemoNetwork,
  observeDemoNetwork,
  removeDemoNetwork,
} from "./demo-network.ts";
export { type DemoRunOptions, attackDemoNetwork, runDemo } from "./demo-run.ts";
export {
  DEMO_DOMAIN,
  type DemoHost,
  type DemoTopology,
  HOST_ROLES,
  type HostRole,
  OUTSIDE_IPV4,
  PROTECTED_IPV4,
  PROTECTED_IPV6,
  SWITCH_SPAN_DEVICE,
  demoTopology,
  spanDevice,
} from "./demo-topology.ts";
export { TestkitError, type TestkitErrorCode } from "./error.ts";
export { eventually } from "./eventually.ts";
export {
  type MachineSnapshot,
  type SnapshotDifference,
  type SnapshotSection,
  diffSnapshots,
  renderDifferences,
  takeSnapshot,
} from "./machine-snapshot.ts";
export { type MinisignKey, makeMinisignKey, signLikeMinisign } from "./minisign.ts";
export {
  type LinkCounters,
  type NetworkNamespace,
  type VethEnd,
  joinByVeth,
  listNamespaces,
  makeNamespace,
  namespacePath,
  openNamespace,
  readCounters,
  removeNamespace,
  setSysctls,
} from "./netns.ts";
export { PACKET_TOOLS_DIR, type PacketTools, buildPacketTools } from "./packet-build.ts";
export {
  type PacketPlace,
  type ReceiveOptions,
  type ReceiveReport,
  type Receiver,
  type SendOptions,
  type SendReport,
  sendFrames,
  sendRawFrames,
  startRawReceiver,
  startReceiver,
} from "./packet-tools.ts";
export { type FeedFile, makeRuleFeed } from "./rule-feed.ts";
export {
  type EveRecord,
  SURICATA_ROOT,
  type SuricataRun,
  countAlerts,
  suricataRecords,
  suricataRoot,
} from "./suricata-reference.ts";
export { SuricataUpdate, type UpdateConf, type UpdateRun } from "./suricata-update.ts";
export { type TrafficOptions, type TrafficReport, runAttacks, runTraffic } from "./traffic.ts";

/** The demo's own rules for Suricata. */
export const DEMO_RULES_FILE: string = new URL("../rules/demo.rules", import.meta.url).pathname;

/** Debian packages whose programs the demo's network needs; benches need gcc and tcpdump besides. */
export const DEMO_PACKAGES = [
  "iproute2",
  "iputils-ping",
  "ethtool",
  "openssl",
  "procps",
  "util-linux",
] as const;
