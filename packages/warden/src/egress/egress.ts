/**
 * Egress: the steps of the proxy and its interface, and what is found of them.
 *
 * Invariants: no policy is in force that is not in the file, and no process runs without a namespace that is ruled; the
 * process goes before the namespace does. A policy is in force when the process that is kept was told of it: a new
 * warden starts a new process. What should exist is decided elsewhere.
 */
import { chmod, chown, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DesiredEgress } from "@bulkhead/core";
import type { InstallationLayout, ObservedEgress } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import type { StepOf } from "../hold/ports.ts";
import { AddressClients, leaseAddresses } from "../network/address.ts";
import { NO_ADDRESSES, staticAddresses, type WantedAddresses } from "../network/device-addresses.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import {
  closeEgress,
  egressDevice,
  egressNamespaceFile,
  observeEgress,
  openEgress,
} from "./egress-namespace.ts";
import { EgressProcess, type EgressUser } from "./egress-process.ts";

export interface Egress {
  open(step: StepOf<"egress.open">): Promise<void>;
  permit(step: StepOf<"egress.permit">): Promise<void>;
  close(): Promise<void>;
  observe(wanted: DesiredEgress | null): Promise<ObservedEgress | null>;
}

export interface EgressParts {
  readonly commands: Commands;
  readonly layout: InstallationLayout;
  /** Calls back when a lease changed. */
  readonly onHint: () => void;
}

const CLIENT = "egress";
/** Of the DHCP client: it owns nothing. */
const CLIENT_UID = 65_534;

export async function egress({ commands, layout, onHint }: EgressParts): Promise<Egress> {
  const { slug } = layout;
  const policyFile = join(layout.egressDir, "policy.json");
  const clients = new AddressClients({
    libDir: layout.libDir,
    uid: CLIENT_UID,
    objection: () => null,
    onChange: onHint,
  });
  await clients.prepare();
  let process: EgressProcess | null = null;
  let told: string | null = null;

  /** Null where nobody knows yet. */
  const expected = (address: DesiredEgress["address"]): WantedAddresses | null => {
    if (address !== "dhcp") return staticAddresses(address, null);
    const found = clients.state(CLIENT);
    if (found.state === "bound") return leaseAddresses(found.lease);
    return found.state === "lost" ? NO_ADDRESSES : null;
  };

  return {
    async open(step) {
      const { uid } = await egressUser(commands, layout);
      const dhcpUid = step.address === "dhcp" ? CLIENT_UID : null;
      const rules = { uid, dhcpUid, dns: step.dns, private: step.private, ports: step.ports };
      await openEgress(commands, slug, step, rules, expected(step.address));
    },

    async permit({ policy, policyDigest }) {
      const user = await egressUser(commands, layout);
      for (const { instrument } of policy.permits) {
        const dir = join(layout.egressDir, "sockets", instrument);
        await mkdir(dir, { recursive: true });
        await chown(dir, user.uid, user.gid);
        await chmod(dir, 0o755);
      }
      await writeFileAtomically(policyFile, `${JSON.stringify(policy)}\n`, 0o644);
      process ??= new EgressProcess(layout, user);
      process.keep();
      told = policyDigest;
    },

    async close() {
      clients.follow([]);
      await process?.end();
      process = null;
      told = null;
      await rm(policyFile, { force: true });
      await closeEgress(commands, slug);
    },

    async observe(wanted) {
      const known = wanted === null ? null : expected(wanted.address);
      const found = await observeEgress(commands, slug, known);
      const asks = found !== null && found.device !== null && wanted?.address === "dhcp";
      const netnsFile = egressNamespaceFile(slug);
      clients.follow(asks ? [{ key: CLIENT, netnsFile, device: egressDevice(wanted.vlan) }] : []);
      if (found === null) return null;
      const noLease = wanted?.address === "dhcp" ? clients.noLease(CLIENT) : null;
      return { ...found, policy: told, process: process?.wanted === true, noLease };
    },
  };
}

/** Who the proxy runs as. @throws WardenError `egress-account-missing` */
async function egressUser(commands: Commands, layout: InstallationLayout): Promise<EgressUser> {
  const name = `${layout.slug}-egress`;
  try {
    const { stdout } = await commands.run(["getent", "passwd", name]);
    const [, , uid, gid, comment] = stdout.trim().split(":");
    if (comment === `Bulkhead installation ${layout.name}` && Number(uid) > 0 && Number(gid) > 0) {
      return { uid: Number(uid), gid: Number(gid) };
    }
  } catch (error) {
    if (!isWardenError(error, "command-failed")) throw error;
  }
  throw new WardenError(
    "egress-account-missing",
    `there is no account ${name} of this installation; run \`bulkhead setup\``,
    {
      fields: { account: name },
    },
  );
}
