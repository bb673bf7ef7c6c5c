/**
 * Rule manager: takes what one sends: sets as resources, and the two questions about them.
 *
 * A question is answered of the very set that it names, and only to who delivered it.
 */
import {
  RULESET_APPLY,
  RULESET_CHECK,
  RULESET_TYPE,
  RulesetApplyReply,
  RulesetCheckReply,
  RulesetRequest,
} from "@bulkhead/schema";
import type { InstrumentContext } from "@bulkhead/sdk";
import { ReceivedSets } from "./received-sets.ts";
import type { SuricataSensor } from "./sensor.ts";

/** The platform tells of a delivery a moment after its sender knows of it. */
const WAIT_MS = 5_000;

type Context = Pick<InstrumentContext, "accept" | "receive">;

export function takeRuleManager(
  context: Context,
  sensor: Pick<SuricataSensor, "checkSet" | "applySet">,
): void {
  const sets = new ReceivedSets();
  const pathOf = async (request: RulesetRequest, from: string): Promise<string> => {
    const set = await sets.find(request, from, WAIT_MS);
    if (set === null) throw new Error(`${from} delivered no set ${request.name} ${request.version}`);
    return set.path;
  };
  context.receive({ type: RULESET_TYPE, handle: (resource) => sets.take(resource) });
  context.accept({
    verb: RULESET_CHECK,
    request: RulesetRequest,
    reply: RulesetCheckReply,
    handle: async (request, { from }) => sensor.checkSet(request, await pathOf(request, from)),
  });
  context.accept({
    verb: RULESET_APPLY,
    request: RulesetRequest,
    reply: RulesetApplyReply,
    handle: async (request, { from }) => sensor.applySet(request, await pathOf(request, from)),
  });
}
