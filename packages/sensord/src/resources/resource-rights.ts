/** Resource rights: who may publish what, and to whom it goes, as the site in force says. Pure. */
import { type BusInstrument, planResources, publishedTypes } from "@bulkhead/core";
import type { Name, ResourceRoute, Site } from "@bulkhead/schema";

export interface ResourceRights {
  /** Every instrument of the site, also one that is not enabled: what it has and gave stays. */
  readonly instruments: readonly BusInstrument[];
  readonly routes: readonly ResourceRoute[];
}

export const NO_RIGHTS: ResourceRights = { instruments: [], routes: [] };

export function resourceRights(
  instruments: readonly BusInstrument[],
  grants: Site["grants"]["resources"],
): ResourceRights {
  const needs = new Map(instruments.map(({ name, needs: own }) => [name, own]));
  return { instruments, routes: planResources(needs, grants).routes };
}

/** How large a resource of this type may be; null: it may publish none. */
export function publishableBytes({ instruments }: ResourceRights, from: Name, type: string): number | null {
  const own = instruments.find(({ name }) => name === from)?.needs ?? [];
  return publishedTypes(own).find((published) => published.type === type)?.maxBytes ?? null;
}

export function routesOf({ routes }: ResourceRights, from: Name, type: string): readonly ResourceRoute[] {
  return routes.filter((route) => route.from === from && route.type === type);
}
