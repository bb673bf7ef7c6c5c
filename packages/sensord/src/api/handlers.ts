/**
 * API handlers: what each route does. The server has let the caller in by role and checked what
 * it sent; here it is acted on, and recorded where it changes something.
 */
import { explainInstrument } from "@bulkhead/core";
import type {
  Caller,
  EventQuery,
  EventRecord,
  LogLine,
  Name,
  Plan,
  PlanRequest,
  SensorStatus,
} from "@bulkhead/schema";
import { applySite, type ApplySiteParts } from "../apply-site.ts";
import type { AuditQueue } from "../audit-queue.ts";
import type { SiteView } from "../site-view.ts";
import type { InstrumentVerb, WardenClient } from "../warden-client.ts";
import type { ApiCall, ApiContract, ApiHandlers } from "./contract.ts";
import { ProblemError } from "./problem.ts";

export interface HandlerParts extends ApplySiteParts {
  readonly warden: Pick<WardenClient, "apply" | "order">;
  readonly audit: Pick<AuditQueue, "admit" | "append">;
  readonly view: () => SiteView | null;
  readonly status: () => SensorStatus;
  readonly plan: (request: PlanRequest) => Promise<Plan>;
  readonly events: (query: EventQuery, signal: AbortSignal) => AsyncIterable<EventRecord>;
  readonly logs: (instrument: Name, limit: number, signal: AbortSignal) => AsyncIterable<LogLine>;
  readonly openUi: (call: ApiCall<ApiContract["ui"]>, view: SiteView) => Promise<void>;
  readonly document: () => { openapi: string };
}

export function makeHandlers(parts: HandlerParts): ApiHandlers {
  const { warden, audit } = parts;
  const order =
    (verb: InstrumentVerb) =>
    async ({ caller, params: { instrument } }: ApiCall<ApiContract["start"]>) => {
      known(parts, instrument);
      audit.admit();
      record(parts, caller, verb, { instrument });
      await warden.order(verb, instrument);
      return { ok: true as const };
    };
  return {
    status: async () => parts.status(),
    taps: async () => parts.status().taps,
    plan: async ({ body }) => parts.plan(body),
    apply: async ({ caller, signal }) => {
      audit.admit();
      record(parts, caller, "apply", {});
      return applySite(parts, signal);
    },
    explain: async ({ params: { instrument } }) => {
      const explanation = explainInstrument(instrument, known(parts, instrument).checked);
      if (explanation === null) throw unknownInstrument(instrument);
      return explanation;
    },
    start: order("start"),
    stop: order("stop"),
    restart: order("restart"),
    logs: ({ params: { instrument }, query: { limit }, signal }) => {
      known(parts, instrument);
      return parts.logs(instrument, limit, signal);
    },
    events: ({ query, signal }) => parts.events(query, signal),
    ui: async (call) => parts.openUi(call, known(parts, call.params.instrument)),
    openapi: async () => parts.document(),
  };
}

/** The site in force. Throws `site-absent`, `unknown-instrument`. */
function known({ view }: HandlerParts, instrument: Name): SiteView {
  const site = view();
  if (site === null) throw new ProblemError("site-absent", "no site is in force");
  if (!site.checked.instruments.some(({ name }) => name === instrument)) {
    throw unknownInstrument(instrument);
  }
  return site;
}

function unknownInstrument(instrument: Name): ProblemError {
  return new ProblemError("unknown-instrument", `the site has no instrument ${instrument}`);
}

function record(
  { audit }: HandlerParts,
  caller: Caller,
  route: string,
  detail: Readonly<Record<string, string>>,
): void {
  audit.append("api-call", caller.subject, { route, role: caller.role, ...detail });
}
