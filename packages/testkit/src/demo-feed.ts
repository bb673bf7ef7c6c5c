/**
 * The demo's rule feed: a host outside of the sensor that publishes rules, at the far end of the sensor's egress interface.
 *
 * Invariants: making it is idempotent; of the host's own namespace only the near end is touched, and that only when it
 * is made; nothing leads on from there. A near end that a sensor has moved away is left where it is.
 */
import { createHash } from "node:crypto";
import { runCommand, tryCommand } from "./command.ts";
import { demoTopology } from "./demo-topology.ts";
import { listNamespaces, namespaceSysctls, setSysctls } from "./netns.ts";

export interface DemoFeed {
  readonly namespace: string;
  /** The host's interface that a site names as the egress interface's `device`. */
  readonly device: string;
}

export const FEED_HOST = "rules.feeds.example";
/**
 * The feed's server, and its resolver. Of the documentation's networks (RFC 5737), so that a site has to name it as an
 * exception, as one does with a feed of one's own.
 */
export const FEED_ADDRESS = "198.51.100.53";
/** What the sensor's proxy has as its own address. */
export const FEED_CLIENT_ADDRESS = "198.51.100.2";
const FAR_DEVICE = "eth0";

/** @throws TestkitError `testkit-bad-name` */
export function demoFeed(slug: string): DemoFeed {
  const { slug: checked } = demoTopology(slug);
  const digest = createHash("sha256").update(`${checked}\0demo\0feed`).digest("hex");
  return { namespace: `${checked}-net-feed`, device: `bh${digest.slice(0, 12)}` };
}

/** Makes what is missing. @throws TestkitError `testkit-command-failed` */
export async function makeDemoFeed(slug: string): Promise<DemoFeed> {
  const { namespace, device } = demoFeed(slug);
  if (!(await listNamespaces()).has(namespace)) await runCommand("ip", ["netns", "add", namespace]);
  await setSysctls(namespace, namespaceSysctls(false));
  if (!(await hasLink(namespace))) {
    const far = ["peer", "name", FAR_DEVICE, "netns", namespace];
    await runCommand("ip", ["link", "add", "name", device, "type", "veth", ...far]);
    // The host must not speak on it should anybody bring it up before the sensor takes it.
    await runCommand("ip", ["link", "set", device, "addrgenmode", "none"]);
  }
  for (const argv of [
    ["link", "set", "lo", "up"],
    ["link", "set", FAR_DEVICE, "up"],
    ["addr", "replace", `${FEED_ADDRESS}/24`, "dev", FAR_DEVICE],
  ])
    await runCommand("ip", ["-n", namespace, ...argv]);
  return { namespace, device };
}

/** Whether it stands. */
export async function observeDemoFeed(slug: string): Promise<boolean> {
  const { namespace } = demoFeed(slug);
  return (await listNamespaces()).has(namespace) && (await hasLink(namespace));
}

/** Removes it, wherever the near end is. Processes in the namespace must have ended before. */
export async function removeDemoFeed(slug: string): Promise<void> {
  const { namespace } = demoFeed(slug);
  if (!(await listNamespaces()).has(namespace)) return;
  // By name first: a namespace is torn down later and in the background.
  await tryCommand("ip", ["-n", namespace, "link", "del", FAR_DEVICE]);
  await runCommand("ip", ["netns", "del", namespace]);
}

async function hasLink(namespace: string): Promise<boolean> {
  return (await tryCommand("ip", ["-n", namespace, "link", "show", FAR_DEVICE])) !== undefined;
}
