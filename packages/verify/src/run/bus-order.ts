/** What the stand-in bus is made of: the permissions that the platform's planner gives to the canary in its instrument's place. */
import { join } from "node:path";
import { planBus } from "@bulkhead/core";
import {
  CANARY_NAME,
  type ContainmentLayer,
  type InstallationLayout,
  type Name,
  type WardenState,
} from "@bulkhead/schema";
import { readSite } from "@bulkhead/sensord/site-view";
import { VerifyError } from "../error.ts";
import { PROBE } from "../probe-resource.ts";
import type { BusOrder } from "../stand/bus.ts";

/** @throws VerifyError `verify-answer-unreadable` where the accepted site does not parse here */
export function busOrder(input: {
  readonly layout: InstallationLayout;
  readonly site: WardenState["site"];
  readonly instrument: Name;
  readonly without: readonly ContainmentLayer[];
  readonly dir: string;
}): BusOrder {
  const { layout, site, instrument, without, dir } = input;
  const reading = site === null ? null : readSite(site);
  if (reading === null || !reading.ok) {
    throw new VerifyError("verify-answer-unreadable", "the accepted site cannot be read");
  }
  const { checked } = reading.view;
  const own = (name: Name): Name => (name === instrument ? CANARY_NAME : name);
  const members = checked.instruments.map(({ name, package: { manifest } }) => ({
    name: own(name),
    needs: name === instrument ? [...manifest.needs, PROBE] : manifest.needs,
  }));
  const { grants } = checked.site;
  const { users } = planBus(members, {
    events: grants.events.map((grant) => ({ ...grant, from: own(grant.from), to: own(grant.to) })),
    messages: grants.messages.map((grant) => ({ ...grant, from: own(grant.from), to: own(grant.to) })),
    resources: grants.resources.map((grant) => ({ ...grant, from: own(grant.from), to: own(grant.to) })),
  });
  return {
    natsServer: join(layout.optDir, "bin/nats-server"),
    dir,
    socketPath: join(layout.socketsDir, CANARY_NAME, "bus.sock"),
    users: users.map(({ name, publish, subscribe, responses }) => ({
      name,
      publish: [...publish],
      subscribe: [...subscribe],
      responses: { ...responses },
    })),
    withoutGate: without.includes("bus-gate"),
    withoutPermissions: without.includes("bus-permissions"),
    withoutDesk: without.includes("delivery-desk"),
  };
}
