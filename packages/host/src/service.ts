/**
 * The platform's processes of one installation, as services: program, account, what they wait for, what they may do.
 *
 * Pure. warden is the one root process and opens no network socket; sensord and the broker are the installation's
 * user and reach loopback alone.
 */
import { dirname } from "node:path";
import type { InstallationLayout } from "@bulkhead/schema";
import type { Hardening, ServiceDefinition } from "./supervisor.ts";

export const PROCESS_NAMES = ["warden", "sensord", "broker"] as const;
export type ProcessName = (typeof PROCESS_NAMES)[number];

/** `demo`: the protected network of the demo and what goes on in it; runs only where the demo was asked for. */
export type ServiceName = ProcessName | "demo";

/** Name of the unit or service directory of one process. */
export function unitName(layout: InstallationLayout, process: ServiceName): string {
  return `${layout.slug}-${process}`;
}

/** All that an installation may have. */
export function allUnitNames(layout: InstallationLayout): readonly string[] {
  return [...unitNames(layout), unitName(layout, "demo")];
}

export function unitNames(layout: InstallationLayout): readonly string[] {
  return PROCESS_NAMES.map((process) => unitName(layout, process));
}

/** `builds`: a digest of each process's program, so that a newer one restarts it. */
export function planServices(
  layout: InstallationLayout,
  builds: Readonly<Record<ProcessName, string>>,
): readonly ServiceDefinition[] {
  return PROCESS_NAMES.map((process) => ({
    process,
    unit: unitName(layout, process),
    description: `Bulkhead ${TITLES[process]} (installation ${layout.name})`,
    argv: processArgv(layout, process),
    user: process === "warden" ? "root" : layout.slug,
    waitFor: process === "broker" ? brokerConfigFile(layout) : null,
    build: builds[process],
    logDir: `${layout.logDir}/${process}`,
    hardening: processHardening(layout, process),
  }));
}

/** The demo's network: makes namespaces and talks inside them, so it is root and may open any socket. */
export function planDemoService(layout: InstallationLayout, build: string): ServiceDefinition {
  const program = programFile(layout, "demo");
  return {
    process: "demo",
    unit: unitName(layout, "demo"),
    description: `Bulkhead demo network (installation ${layout.name})`,
    argv: [`${layout.nodeDir}/bin/node`, program, "run", "--slug", layout.slug],
    user: "root",
    waitFor: null,
    build,
    logDir: `${layout.logDir}/demo`,
    hardening: {
      profile: "datapath",
      network: "any",
      addressFamilies: ["AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_INET", "AF_INET6"],
      writable: [],
    },
  };
}

/** There from set-up on, and root's until warden has mounted the platform's volume over it. */
function platformMount(layout: InstallationLayout): string {
  return dirname(layout.platformDir);
}

/** sensord writes it; the broker cannot begin before. */
export function brokerConfigFile(layout: InstallationLayout): string {
  return `${layout.brokerDir}/nats.conf`;
}

/** The file whose content decides whether the process's program has changed. */
export function programFile(layout: InstallationLayout, process: ServiceName): string {
  return process === "broker" ? `${layout.optDir}/bin/nats-server` : `${layout.optDir}/${process}.mjs`;
}

/** Node's options (V8 flags) for processes that idle most of the time: half the memory, at no cost that was measured. */
const SMALL_HEAP = ["--max-semi-space-size=1", "--optimize-for-size"] as const;

const TITLES = { warden: "warden", sensord: "sensord", broker: "broker" } as const;

function processArgv(layout: InstallationLayout, process: ProcessName): readonly string[] {
  const program = programFile(layout, process);
  if (process === "broker") return [program, "-c", brokerConfigFile(layout)];
  return [`${layout.nodeDir}/bin/node`, ...SMALL_HEAP, program, "--installation", layout.name];
}

function processHardening(layout: InstallationLayout, process: ProcessName): Hardening {
  switch (process) {
    case "warden":
      // Netlink programs the datapath; a packet socket is what tcpdump compiles a filter against. What is kept from
      // warden is kept from its children too: the egress proxy and the DHCP clients, which talk in namespaces of theirs.
      return {
        profile: "datapath",
        network: "any",
        addressFamilies: ["AF_UNIX", "AF_NETLINK", "AF_PACKET", "AF_INET", "AF_INET6"],
        writable: [],
      };
    case "sensord":
      return {
        profile: "confined",
        network: "loopback",
        addressFamilies: ["AF_UNIX", "AF_INET"],
        writable: [platformMount(layout), layout.runDir],
      };
    case "broker":
      return {
        profile: "confined",
        network: "loopback",
        addressFamilies: ["AF_UNIX", "AF_INET"],
        writable: [platformMount(layout)],
      };
  }
}
