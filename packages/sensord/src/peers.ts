/** Peers: Find's answer: which instruments of a package an instrument shares a grant with, and how they are. Pure. */
import { grantedPeers } from "@bulkhead/core";
import type { FindAnswer, InstrumentStatus, Name } from "@bulkhead/schema";
import type { SiteView } from "./site-view.ts";

export function peersOf(
  view: Pick<SiteView, "checked"> | null,
  statuses: readonly InstrumentStatus[],
  from: Name,
  type: Name,
): FindAnswer {
  const asker = view?.checked.instruments.find(({ name }) => name === from);
  if (view === null || asker === undefined) return { ok: false, message: "no site is in force" };
  const declared = asker.package.manifest.needs.some((need) => need.kind === "find" && need.type === type);
  if (!declared) return { ok: false, message: `it does not declare finding ${type}` };
  const granted = grantedPeers(view.checked.site.grants, from);
  const peers = statuses.filter((status) => status.package === type && granted.includes(status.name));
  return { ok: true, peers: peers.map(({ name, package: own, state }) => ({ name, package: own, state })) };
}
