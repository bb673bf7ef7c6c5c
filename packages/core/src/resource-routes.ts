/**
 * Resource routes: which resources the site's grants hand on, and up to what size. Pure.
 *
 * Invariant: a route is there only where both sides declare the type.
 */
import { type Name, type Need, PLATFORM_NAME, type ResourceRoute, type Site } from "@bulkhead/schema";

type Side = Extract<Need, { kind: "resource.publish" | "resource.receive" }>;

/** Routes of all grants, each once; and the grants that give nothing, each with the reason. */
export function planResources(
  needs: ReadonlyMap<Name, readonly Need[]>,
  grants: Site["grants"]["resources"],
): { readonly routes: readonly ResourceRoute[]; readonly ignored: readonly string[] } {
  const routes = new Map<string, ResourceRoute>();
  const ignored: string[] = [];
  for (const { from, type, to } of grants) {
    const what = `resource ${type} from ${from} to ${to}`;
    const published = findSide(needs.get(from) ?? [], "resource.publish", type);
    const received = findSide(needs.get(to) ?? [], "resource.receive", type);
    if (from === to || from === PLATFORM_NAME) ignored.push(`${what}: not between two instruments`);
    else if (published === undefined || received === undefined) {
      ignored.push(`${what}: not declared by both`);
    } else {
      const maxBytes = Math.min(published.size, received.size);
      routes.set(`${from} ${to} ${type}`, { from, to, type, maxBytes });
    }
  }
  return { routes: [...routes.values()], ignored };
}

export function findSide(needs: readonly Need[], kind: Side["kind"], type: string): Side | undefined {
  return needs.find((need): need is Side => need.kind === kind && need.type === type);
}
