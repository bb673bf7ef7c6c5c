/**
 * What a machine's own network namespace holds: namespaces, links, routes, nftables and traffic control.
 *
 * Invariants: read-only; a tool that is not installed means an empty list; counters and handles are left out.
 */
import { tryCommand } from "./command.ts";

/** The parts of iproute2's `ip -j -d addr` that are compared. */
interface Link {
  readonly ifname: string;
  readonly flags: readonly string[];
  readonly mtu: number;
  readonly address?: string;
  readonly master?: string;
  readonly linkinfo?: { readonly info_kind?: string };
  readonly addr_info?: readonly { readonly local?: string; readonly prefixlen?: number }[];
}

export async function listNamespaceNames(): Promise<readonly string[]> {
  return lines(await tryCommand("ip", ["netns", "list"])).map((line) => line.split(" ")[0] ?? line);
}

export async function listLinks(): Promise<readonly string[]> {
  return (await readLinks()).map((link) => {
    const addresses = (link.addr_info ?? []).map((address) => `${address.local}/${address.prefixlen}`);
    const parts = [
      link.ifname,
      link.linkinfo?.info_kind ?? "device",
      link.address ?? "",
      `mtu ${link.mtu}`,
      link.flags.includes("UP") ? "up" : "down",
      link.flags.includes("PROMISC") ? "promisc" : "",
      link.master === undefined ? "" : `master ${link.master}`,
      ...addresses.toSorted(),
    ];
    return parts.filter((part) => part !== "").join(" ");
  });
}

export async function listRoutes(): Promise<readonly string[]> {
  const routes = await Promise.all(
    ["-4", "-6"].map((family) => tryCommand("ip", [family, "route", "show", "table", "all"])),
  );
  // A lifetime counts down by itself.
  return routes.flatMap(lines).map((line) => line.replaceAll(/ expires \d+sec/g, ""));
}

export async function listPacketRules(): Promise<readonly string[]> {
  const tables = lines(await tryCommand("nft", ["list", "tables"]));
  const rules = tables.map(async (line) => {
    const [, family = "", name = ""] = line.split(" ");
    const text = await tryCommand("nft", ["-s", "list", "table", family, name]);
    return lines(text).map((rule) => `${family} ${name}: ${rule.trim()}`);
  });
  return (await Promise.all(rules)).flat();
}

export async function listFilters(): Promise<readonly string[]> {
  const qdiscs = lines(await tryCommand("tc", ["qdisc", "show"])).map((line) =>
    line.replace(/ refcnt \d+/, ""),
  );
  const filters = (await readLinks()).map(async ({ ifname }) => {
    const sides = ["ingress", "egress"].map(async (side) => {
      const text = await tryCommand("tc", ["filter", "show", "dev", ifname, side]);
      return lines(text).map((line) => `${ifname} ${side}: ${line.trim()}`);
    });
    return (await Promise.all(sides)).flat();
  });
  return [...qdiscs, ...(await Promise.all(filters)).flat()];
}

async function readLinks(): Promise<readonly Link[]> {
  const text = await tryCommand("ip", ["-j", "-d", "addr", "show"]);
  return text === undefined ? [] : (JSON.parse(text) as readonly Link[]);
}

function lines(text: string | undefined): readonly string[] {
  return (text ?? "").split("\n").filter((line) => line.trim() !== "");
}
