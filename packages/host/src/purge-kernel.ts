/**
 * Removal of an installation's kernel objects from outside: namespaces, wires, spans given back, nft tables, mounts
 * and loop devices.
 *
 * Invariants: whose a thing is, is decided by ownership.ts alone; a span device goes back to the host, under its name,
 * before its namespace goes, since a virtual device would be destroyed with it.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { InstallationLayout } from "@bulkhead/schema";
import * as z from "zod";
import { askCommand, runCommand } from "./command.ts";
import { HostError } from "./error.ts";
import {
  isUnder,
  mountsUnder,
  type OwnedDevice,
  ownsDevice,
  ownsNamespace,
  spanOrigin,
} from "./ownership.ts";
import { endProcesses } from "./stray-processes.ts";

/** @returns what was removed, in words. @throws HostError `host-command-failed` */
export async function purgeNamespaces({ slug }: InstallationLayout): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const name of await namespaces()) {
    const devices = await observeDevices(["-n", name]);
    const alias = devices.find((device) => device.name === "lo")?.alias ?? null;
    if (!ownsNamespace(slug, name, alias)) continue;
    const { stdout } = await askCommand("ip", ["netns", "pids", name]);
    await endProcesses(stdout.split("\n").filter(Boolean).map(Number));
    for (const device of devices) {
      const origin = spanOrigin(slug, device);
      if (origin === null) continue;
      await giveBack(name, device.name, origin);
      removed.push(`hold on ${origin.device}`);
    }
    await runCommand("ip", ["netns", "delete", name]);
    removed.push(`namespace ${name}`);
  }
  return removed;
}

/** Wires in the host's own namespace, and spans that were given back without a clean end. */
export async function purgeDevices({ slug }: InstallationLayout): Promise<readonly string[]> {
  const removed: string[] = [];
  for (const device of await observeDevices([])) {
    if (!ownsDevice(slug, device)) continue;
    if (spanOrigin(slug, device) !== null) {
      await runCommand("ip", ["link", "set", "dev", device.name, "alias", ""]);
      removed.push(`hold on ${device.name}`);
    } else {
      await runCommand("ip", ["link", "delete", "dev", device.name]);
      removed.push(`interface ${device.name}`);
    }
  }
  return removed;
}

/** nft tables of exactly the installation's name, of every family. */
export async function purgeTables({ slug }: InstallationLayout): Promise<readonly string[]> {
  const Tables = z.object({
    nftables: z.array(z.object({ table: z.object({ family: z.string(), name: z.string() }).optional() })),
  });
  const { exitCode, stdout } = await askUnlessMissing("nft", ["--json", "list", "tables"]);
  if (exitCode !== 0 || stdout === "") return [];
  const removed: string[] = [];
  for (const { table } of Tables.parse(JSON.parse(stdout)).nftables) {
    if (table?.name !== slug) continue;
    await runCommand("nft", ["delete", "table", table.family, table.name]);
    removed.push(`nft table ${table.family} ${table.name}`);
  }
  return removed;
}

/** Mounts below the installation's directories, then loop devices whose file lies there. */
export async function purgeMounts(layout: InstallationLayout): Promise<readonly string[]> {
  const directories = [layout.libDir, layout.runDir];
  const points = mountsUnder(directories, await readFile("/proc/self/mountinfo", "utf8"));
  for (const point of points) await runCommand("umount", [point]);
  const loops = await observeLoops(layout.libDir);
  // One that lets go by itself after its umount may be gone by now; what counts is that none is left.
  for (const name of loops) await askCommand("losetup", ["--detach", name]);
  await waitForLoops(layout.libDir);
  return [...points.map((point) => `mount ${point}`), ...loops.map((name) => `loop device ${name}`)];
}

/** Loop devices whose file lies under the directory. */
async function observeLoops(directory: string): Promise<readonly string[]> {
  const Loops = z.object({
    loopdevices: z.array(z.object({ name: z.string(), "back-file": z.string().nullable() })),
  });
  const text = await runCommand("losetup", ["--json", "--list", "--output", "NAME,BACK-FILE"]);
  const all = text.trim() === "" ? [] : Loops.parse(JSON.parse(text)).loopdevices;
  return all.filter((loop) => isUnder(directory, loop["back-file"] ?? "")).map(({ name }) => name);
}

/** Detaching is asynchronous in the kernel. */
async function waitForLoops(directory: string): Promise<void> {
  const deadlineMs = performance.now() + 10_000;
  for (;;) {
    const left = await observeLoops(directory);
    if (left.length === 0) return;
    if (performance.now() > deadlineMs) {
      throw new HostError("host-command-failed", `loop devices do not let go: ${left.join(", ")}`, {
        advice: "see who has them open with `lsof`, end that, and run `down --purge` again",
      });
    }
    await delay(50);
  }
}

async function giveBack(
  namespace: string,
  inside: string,
  origin: { readonly device: string; readonly mtu: number; readonly gro: "on" | "off" },
): Promise<void> {
  const { device, mtu, gro } = origin;
  const ip = (...args: readonly string[]): Promise<string> => runCommand("ip", ["-n", namespace, ...args]);
  await ip("link", "set", "dev", inside, "down");
  await ip("link", "set", "dev", inside, "promisc", "off", "arp", "on", "alias", "");
  // Its filters go with the move. Pid 1 is in the host's namespace.
  await ip("link", "set", "dev", inside, "name", device, "netns", "1");
  await runCommand("ip", ["link", "set", "dev", device, "mtu", String(mtu)]);
  // A device without this offload says so, which is no failure.
  await askCommand("ethtool", ["-K", device, "gro", gro]);
}

async function namespaces(): Promise<readonly string[]> {
  const Names = z.array(z.object({ name: z.string() }));
  const text = await runCommand("ip", ["-json", "netns", "list"]);
  return text.trim() === "" ? [] : Names.parse(JSON.parse(text)).map(({ name }) => name);
}

async function observeDevices(options: readonly string[]): Promise<readonly OwnedDevice[]> {
  const Links = z.array(z.object({ ifname: z.string(), ifalias: z.string().optional() }));
  const { exitCode, stdout } = await askCommand("ip", [...options, "-json", "link", "show"]);
  // A namespace that goes while we look at it, or that is only a file, has no devices.
  if (exitCode !== 0 || stdout.trim() === "") return [];
  return Links.parse(JSON.parse(stdout)).map((link) => ({
    name: link.ifname,
    alias: link.ifalias ?? null,
  }));
}

async function askUnlessMissing(
  file: string,
  args: readonly string[],
): Promise<{ readonly exitCode: number; readonly stdout: string }> {
  try {
    return await askCommand(file, args);
  } catch (error) {
    if (error instanceof HostError && error.code === "host-command-missing") {
      return { exitCode: 0, stdout: "" };
    }
    throw error;
  }
}
