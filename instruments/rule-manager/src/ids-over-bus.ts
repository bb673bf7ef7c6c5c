/**
 * IDS over the bus: Find, Deliver and the messages `ruleset.check` and `ruleset.apply`, with the SDK's
 * errors told apart by what can be done about them.
 */
import {
  RULESET_APPLY,
  RULESET_CHECK,
  RULESET_TYPE,
  RulesetApplyReply,
  RulesetCheckReply,
  type RulesetRequest,
} from "@bulkhead/schema";
import { errorText, type InstrumentContext, SdkError, type SdkErrorCode } from "@bulkhead/sdk";
import type * as z from "zod";
import type { Asked, IdsPort } from "./ids-port.ts";

const IDS_PACKAGE = "suricata";
const AWAY: ReadonlySet<SdkErrorCode> = new Set<SdkErrorCode>([
  "sdk-message-not-running",
  "sdk-message-not-sent",
]);
const REFUSED: ReadonlySet<SdkErrorCode> = new Set<SdkErrorCode>([
  "sdk-message-not-granted",
  "sdk-message-no-handler",
  "sdk-message-invalid",
  "sdk-message-answer-invalid",
  "sdk-delivery-invalid",
  "sdk-delivery-not-declared",
  "sdk-delivery-too-large",
  "sdk-delivery-hash-differs",
]);
const MEDIA_TYPE = "text/plain";

type Context = Pick<InstrumentContext, "deliver" | "find" | "send" | "log">;

export function idsOverBus(context: Context): IdsPort {
  return {
    peers: async () => {
      try {
        return (await context.find(IDS_PACKAGE)).map(({ name }) => name).toSorted();
      } catch (error) {
        if (!(error instanceof SdkError)) throw error;
        context.log.warn(`which IDS there are: ${error.message}`);
        return null;
      }
    },
    deliver: async (name, text, sha256) => {
      const sizeBytes = Buffer.byteLength(text);
      const body = bytesOf(text);
      try {
        const options = { type: RULESET_TYPE, name, sizeBytes, sha256, mediaType: MEDIA_TYPE, body };
        return { kind: "delivered", version: (await context.deliver(options)).version };
      } catch (error) {
        if (!(error instanceof SdkError)) throw error;
        const detail = error.message;
        return REFUSED.has(error.code) ? { kind: "refused", detail } : { kind: "later", detail };
      }
    },
    check: (ids, request) => ask(context, ids, RULESET_CHECK, request, RulesetCheckReply),
    apply: (ids, request) => ask(context, ids, RULESET_APPLY, request, RulesetApplyReply),
  };
}

async function ask<Reply>(
  context: Context,
  to: string,
  verb: string,
  data: RulesetRequest,
  reply: z.ZodType<Reply>,
): Promise<Asked<Reply>> {
  try {
    return { kind: "answered", reply: await context.send({ to, verb, data, reply }) };
  } catch (error) {
    if (!(error instanceof SdkError)) throw error;
    const kind = AWAY.has(error.code) ? "away" : REFUSED.has(error.code) ? "refused" : "unknown";
    return { kind, detail: errorText(error) };
  }
}

/** One copy in bytes: cutting text could cut a character in two. */
async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield Buffer.from(text);
}
