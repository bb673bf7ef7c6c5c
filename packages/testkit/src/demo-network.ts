/**
 * The demo's protected network: hosts in network namespaces on one switch that mirrors everything to a span port.
 *
 * Invariants: making it is idempotent and removing it leaves nothing; of the host's own namespace only the span's end
 * is touched, and that only when it is made; no namespace has a route out. A span end that a sensor has moved away is
 * left where it is. Each frame is mirrored once, where it enters the switch, in the order in which it entered.
 * It runs no servers and no traffic: demo-hosts.ts does.
 */
import { runCommand, tryCommand } from "./command.ts";
import {
  BRIDGE_DEVICE,
  type DemoHost,
  type DemoTopology,
  HOST_ROLES,
  OUTSIDE_IPV4,
  OUTSIDE_IPV6,
  PROTECTED_IPV4,
  PROTECTED_IPV6,
  SWITCH_SPAN_DEVICE,
  demoTopology,
} from "./demo-topology.ts";
import { TestkitError } from "./error.ts";
import { listNamespaces, makeLikeWire, namespaceSysctls, readCounters, setSysctls } from "./netns.ts";

/** Whether the network stands, and what of it does not. */
export type DemoNetworkState =
  | { readonly state: "absent" }
  | { readonly state: "partial"; readonly missing: readonly MissingPart[] }
  | { readonly state: "up"; readonly span: SpanState };

/** A part that is not there. Processes cannot outlive their namespace; ports and mirrors can be made again under them. */
export interface MissingPart {
  readonly kind: "namespace" | "device" | "mirror";
  readonly name: string;
}

/** `backPackets` is what came from the sensor's side into the switch: anything but 0 is a leak. */
export interface SpanState {
  readonly device: string;
  readonly mirroredPackets: number;
  readonly backPackets: number;
}

/**
 * Makes what is missing of the network, and nothing else.
 * @throws TestkitError `testkit-network-failed` if the kernel refuses something, with what and why.
 */
export async function makeDemoNetwork(slug: string): Promise<DemoTopology> {
  const topology = demoTopology(slug);
  try {
    await makeNamespaces(topology);
    await makeSwitch(topology);
    for (const role of HOST_ROLES) await makeHost(topology, topology.hosts[role]);
    await makeSpan(topology);
    await mirrorPorts(topology);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TestkitError("testkit-network-failed", `demo network of ${slug}: ${reason}`, { cause });
  }
  return topology;
}

/** Removes the network, wherever the span's end is. Processes in the namespaces must have ended before. */
export async function removeDemoNetwork(slug: string): Promise<void> {
  const topology = demoTopology(slug);
  const present = await listNamespaces();
  // Deleted by name first: a namespace is torn down later and in the background, and takes the span's end with it.
  if (present.has(topology.switchNamespace)) {
    for (const device of await listDevices(topology.switchNamespace)) {
      if (device !== "lo") await runCommand("ip", ["-n", topology.switchNamespace, "link", "del", device]);
    }
  }
  for (const name of namespacesOf(topology)) {
    if (present.has(name)) await runCommand("ip", ["netns", "del", name]);
  }
  // A span end without a switch cannot be, unless somebody else made a device of this name: it is not ours then.
}

/** Reads whether the network stands. */
export async function observeDemoNetwork(slug: string): Promise<DemoNetworkState> {
  const topology = demoTopology(slug);
  const present = await listNamespaces();
  const gone = namespacesOf(topology).filter((name) => !present.has(name));
  if (gone.length === namespacesOf(topology).length) return { state: "absent" };
  if (gone.length > 0)
    return { state: "partial", missing: gone.map((name) => ({ kind: "namespace", name })) };
  const devices = new Set(await listDevices(topology.switchNamespace));
  const missing: MissingPart[] = [BRIDGE_DEVICE, SWITCH_SPAN_DEVICE, ...HOST_ROLES]
    .filter((name) => !devices.has(name))
    .map((name) => ({ kind: "device", name }));
  for (const name of HOST_ROLES) {
    if (devices.has(name) && !(await isMirrored(topology, name))) missing.push({ kind: "mirror", name });
  }
  if (missing.length > 0) return { state: "partial", missing };
  const counters = await readCounters(SWITCH_SPAN_DEVICE, topology.switchNamespace);
  return {
    state: "up",
    span: {
      device: topology.spanDevice,
      mirroredPackets: counters.txPackets,
      backPackets: counters.rxPackets + counters.rxDropped,
    },
  };
}

function namespacesOf(topology: DemoTopology): readonly string[] {
  return [topology.switchNamespace, ...HOST_ROLES.map((role) => topology.hosts[role].namespace)];
}

async function makeNamespaces(topology: DemoTopology): Promise<void> {
  const present = await listNamespaces();
  for (const name of namespacesOf(topology)) {
    if (!present.has(name)) await runCommand("ip", ["netns", "add", name]);
    await setSysctls(name, namespaceSysctls(name !== topology.switchNamespace));
  }
}

async function makeSwitch(topology: DemoTopology): Promise<void> {
  const devices = await listDevices(topology.switchNamespace);
  // A bridge that asks and says nothing by itself: no spanning tree, no multicast queries, everything is forwarded.
  const quiet = "type bridge stp_state 0 mcast_snooping 0 forward_delay 0";
  await batch("ip", topology.switchNamespace, [
    ...(devices.includes(BRIDGE_DEVICE) ? [] : [`link add name ${BRIDGE_DEVICE} ${quiet}`]),
    `link set ${BRIDGE_DEVICE} up`,
  ]);
}

async function makeHost(topology: DemoTopology, host: DemoHost): Promise<void> {
  const devices = await listDevices(topology.switchNamespace);
  if (!devices.includes(host.port)) {
    const peer = `peer name eth0 address ${host.mac} netns ${host.namespace}`;
    await batch("ip", undefined, [
      `link add name ${host.port} netns ${topology.switchNamespace} type veth ${peer}`,
    ]);
  }
  await batch("ip", topology.switchNamespace, [`link set ${host.port} master ${BRIDGE_DEVICE} up`]);
  await makeLikeWire(host.namespace, "eth0");
  const inside = host.role !== "attacker";
  await batch("ip", host.namespace, [
    "link set lo up",
    "link set eth0 up",
    `addr replace ${host.ipv4}/24 dev eth0`,
    `addr replace ${host.ipv6}/64 dev eth0 nodad`,
    `route replace ${inside ? OUTSIDE_IPV4 : PROTECTED_IPV4} dev eth0`,
    `route replace ${inside ? OUTSIDE_IPV6 : PROTECTED_IPV6} dev eth0`,
  ]);
}

async function makeSpan(topology: DemoTopology): Promise<void> {
  const devices = await listDevices(topology.switchNamespace);
  if (!devices.includes(SWITCH_SPAN_DEVICE)) {
    const peer = `peer name ${topology.spanDevice}`;
    await batch("ip", undefined, [
      `link add name ${SWITCH_SPAN_DEVICE} netns ${topology.switchNamespace} type veth ${peer}`,
      // The host must not speak on it should anybody bring it up before the sensor takes it.
      `link set ${topology.spanDevice} addrgenmode none`,
    ]);
  }
  await batch("ip", topology.switchNamespace, [`link set ${SWITCH_SPAN_DEVICE} arp off up`]);
}

async function mirrorPorts(topology: DemoTopology): Promise<void> {
  for (const port of HOST_ROLES) {
    if (await isMirrored(topology, port)) continue;
    // Deleting the qdisc takes a half-made or broken filter with it: a span that was made again leaves a dead mirror.
    await tryCommand("tc", ["-n", topology.switchNamespace, "qdisc", "del", "dev", port, "clsact"]);
    const everything = 'protocol all prio 1 bpf bytecode "1,6 0 0 262144"';
    await batch("tc", topology.switchNamespace, [
      `qdisc add dev ${port} clsact`,
      `filter add dev ${port} ingress ${everything} action mirred egress mirror dev ${SWITCH_SPAN_DEVICE} continue`,
    ]);
  }
}

async function isMirrored(topology: DemoTopology, port: string): Promise<boolean> {
  const filters = await tryCommand("tc", [
    "-n",
    topology.switchNamespace,
    "filter",
    "show",
    "dev",
    port,
    "ingress",
  ]);
  return filters?.includes(`Egress Mirror to device ${SWITCH_SPAN_DEVICE}`) ?? false;
}

async function listDevices(namespace: string): Promise<readonly string[]> {
  const { stdout } = await runCommand("ip", ["-n", namespace, "-j", "link", "show"]);
  // iproute2 prints an array of links, each with its name.
  return (JSON.parse(stdout) as readonly { readonly ifname: string }[]).map((link) => link.ifname);
}

/** One line is one command of the tool; what goes into it are names that demoTopology made. */
async function batch(
  tool: "ip" | "tc",
  namespace: string | undefined,
  lines: readonly string[],
): Promise<void> {
  const where = namespace === undefined ? [] : ["-n", namespace];
  await runCommand(tool, [...where, "-batch", "-"], { input: `${lines.join("\n")}\n` });
}
