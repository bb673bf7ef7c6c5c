/**
 * What the running kernel can do, by trying it in a network namespace made for that purpose and removed again.
 *
 * Invariants: a probe passes only if the kernel took the object; nothing outside the throw-away namespace is touched;
 * it is removed also after a failure. Nothing is judged by version numbers.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { randomBytes } from "node:crypto";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { askCommand, runCommand } from "./command.ts";
import { XDP_SECTION, xdpObject } from "./xdp-object.ts";

/** One feature of the kernel; `reason` is the tool's own message where it is missing. */
export interface KernelFeature {
  readonly feature: "netns" | "veth" | "clsact" | "cls-bpf" | "mirred" | "xdp" | "vlan" | "connection-limit";
  readonly present: boolean;
  readonly reason: string;
}

/** Tries each feature; needs root, iproute2, nftables, and takes about 0.2 s. @throws HostError `host-command-missing` */
export async function probeKernel(): Promise<readonly KernelFeature[]> {
  const name = `bulkhead-probe-${randomBytes(4).toString("hex")}`;
  await using stack = new AsyncDisposableStack();
  const scratch = await mkdtemp(join(tmpdir(), "bulkhead-probe-"));
  stack.defer(() => rm(scratch, { recursive: true, force: true }));
  const object = join(scratch, "drop.o");
  await writeFile(object, xdpObject());
  const features: KernelFeature[] = [];
  const attempt = async (
    feature: KernelFeature["feature"],
    argvs: readonly (readonly string[])[],
  ): Promise<boolean> => {
    for (const [file = "", ...args] of argvs) {
      const { exitCode, stderr } = await askCommand(file, args);
      if (exitCode !== 0) {
        features.push({ feature, present: false, reason: stderr.trim().split("\n")[0] ?? "" });
        return false;
      }
    }
    features.push({ feature, present: true, reason: "" });
    return true;
  };
  if (await attempt("netns", [["ip", "netns", "add", name]])) {
    stack.defer(async () => {
      await runCommand("ip", ["netns", "del", name]);
    });
  }
  const ip = ["ip", "-n", name];
  const tc = ["tc", "-n", name];
  const drop = "1,6 0 0 2";
  const all = "1,6 0 0 262144";
  const classifier = ["filter", "add", "dev", "probe0", "ingress", "protocol", "all"];
  const mirror = ["action", "mirred", "egress", "mirror", "dev", "probe1", "continue"];
  await attempt("veth", [
    [...ip, "link", "add", "probe0", "type", "veth", "peer", "name", "probe1"],
    [...ip, "link", "set", "probe1", "mtu", "16384"],
  ]);
  await attempt("clsact", [[...tc, "qdisc", "add", "dev", "probe0", "clsact"]]);
  await attempt("cls-bpf", [[...tc, ...classifier, "prio", "9", "bpf", "da", "bytecode", drop]]);
  await attempt("mirred", [[...tc, ...classifier, "prio", "1", "bpf", "bytecode", all, ...mirror]]);
  await attempt("xdp", [
    [...ip, "link", "set", "dev", "probe1", "xdpdrv", "obj", object, "sec", XDP_SECTION],
  ]);
  await attempt("vlan", [
    [...ip, "link", "add", "link", "probe0", "name", "probe2", "type", "vlan", "id", "2"],
  ]);
  const nft = ["ip", "netns", "exec", name, "nft", "add"];
  // NFT_CONNLIMIT, for the count of connections that an instrument on a segment may hold.
  await attempt("connection-limit", [
    [...nft, "table", "inet", "probe"],
    [...nft, "chain", "inet", "probe", "probe"],
    [...nft, "rule", "inet", "probe", "probe", "ct", "count", "over", "1", "drop"],
  ]);
  return features;
}
