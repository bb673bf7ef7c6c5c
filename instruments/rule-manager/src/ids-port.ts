/**
 * IDS port: what a rollout needs of the platform: which IDS there are, a way to hand them a set, and two
 * questions. Its one implementation in use is over the SDK (ids-over-bus.ts).
 */
import type { RulesetApplyReply, RulesetCheckReply, RulesetRequest } from "@bulkhead/schema";

/**
 * What became of a question. `away`: it does not run; `refused`: it can never be answered as things
 * are; `unknown`: it may have been done or not, and may be asked again.
 */
export type Asked<Reply> =
  | { readonly kind: "answered"; readonly reply: Reply }
  | { readonly kind: "away" | "refused" | "unknown"; readonly detail: string };

export type Delivered =
  | { readonly kind: "delivered"; readonly version: string }
  | { readonly kind: "refused"; readonly detail: string }
  | { readonly kind: "later"; readonly detail: string };

export interface IdsPort {
  /** Names of the granted IDS, in a fixed order; null where the platform does not say now. */
  readonly peers: () => Promise<readonly string[] | null>;
  readonly deliver: (name: string, text: string, sha256: string) => Promise<Delivered>;
  readonly check: (ids: string, request: RulesetRequest) => Promise<Asked<RulesetCheckReply>>;
  readonly apply: (ids: string, request: RulesetRequest) => Promise<Asked<RulesetApplyReply>>;
}
