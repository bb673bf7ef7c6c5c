/** What is told of the egress proxy, from the accepted site and what was found. Pure. */
import type { EgressStatus, Observed } from "@bulkhead/schema";
import { canonicalTarget } from "./egress-policy.ts";
import { renderPlace } from "./needs.ts";
import type { CheckedSite } from "./plan.ts";

export function egressStatus(
  { site, document, desired }: Pick<CheckedSite, "site" | "document" | "desired">,
  { egress: found }: Observed,
): EgressStatus {
  const wanted = desired.egress;
  if (wanted === null) return { interface: null, permits: [] };
  const { interface: name, device, dns, policy } = wanted;
  const there = found?.device === device ? found : null;
  const { proxy } = policy;
  const host = proxy?.host.includes(":") === true ? `[${proxy.host}]` : proxy?.host;
  return {
    interface: {
      name,
      device,
      state: there?.state ?? "waiting",
      addresses: there?.addresses ?? [],
      dns: [...dns],
      proxy: proxy === null ? null : `http://${host}:${proxy.port}`,
    },
    permits: policy.permits.map(({ instrument, targets: _targets, ...limits }) => ({
      instrument,
      ...limits,
      targets: (site.instruments[instrument]?.egress?.hosts ?? []).map((text, index) => ({
        target: canonicalTarget(text),
        by: renderPlace(document, ["instruments", instrument, "egress", "hosts", index]),
      })),
    })),
  };
}
