/**
 * API handlers: what each route does. The server has let the caller in by role and checked what
 * it sent; here it is acted on, and recorded where it changes something.
 */
import { egressStatus, explainInstrument, networkStatus } from "@bulkhead/core";
import type {
  BusReport,
  Caller,
  EventQuery,
  EventRecord,
  LogLine,
  MessageQuery,
  MessageRecord,
  Name,
  Observed,
  Plan,
  PlanRequest,
  ResourcesReport,
  SensorStatus,
} from "@bulkhead/schema";
import { applySite, type ApplySiteParts } from "../apply-site.ts";
import type { AuditQueue } from "../audit-queue.ts";
import { auditEntries, auditEntry } from "../audit-reader.ts";
import type { RetentionKeeper } from "../retention/retention-keeper.ts";
import type { SiteView } from "../site-view.ts";
import type { InstrumentVerb, WardenClient } from "../warden-client.ts";
import type { ApiCall, ApiContract, ApiHandlers } from "./contract.ts";
import { ProblemError } from "./problem.ts";

export interface HandlerParts extends ApplySiteParts {
  readonly warden: Pick<WardenClient, "apply" | "network" | "order" | "readAudit">;
  readonly audit: Pick<AuditQueue, "admit" | "append">;
  readonly view: () => SiteView | null;
  readonly status: () => SensorStatus;
  readonly observed: () => Observed;
  readonly plan: (request: PlanRequest) => Promise<Plan>;
  readonly events: (query: EventQuery, signal: AbortSignal) => AsyncIterable<EventRecord>;
  readonly bus: () => Promise<BusReport>;
  readonly resources: () => ResourcesReport;
  readonly messages: (query: MessageQuery, signal: AbortSignal) => AsyncIterable<MessageRecord>;
  readonly logs: (instrument: Name, limit: number, signal: AbortSignal) => AsyncIterable<LogLine>;
  readonly retention: Pick<RetentionKeeper, "report" | "erase" | "confirmClock">;
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
    bus: () => parts.bus(),
    resources: async () => parts.resources(),
    messages: ({ query, signal }) => parts.messages(query, signal),
    taps: async () => parts.status().taps,
    network: async ({ signal }) => {
      const checked = parts.view()?.checked;
      if (checked === undefined) return { instruments: [] };
      return { instruments: [...networkStatus(checked, parts.observed(), await warden.network(signal))] };
    },
    egress: async () => {
      const checked = parts.view()?.checked;
      return checked === undefined
        ? { interface: null, permits: [] }
        : egressStatus(checked, parts.observed());
    },
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
    audit: ({ query, signal }) => auditEntries(warden, query, signal),
    auditEntry: async ({ params: { seq } }) => auditEntry(warden, seq),
    retention: async () => parts.retention.report(),
    retentionErase: (call) => eraseOf(parts, call),
    retentionClock: async ({ caller }) => {
      audit.admit();
      const { wall, gapMs } = parts.retention.report().clock;
      record(parts, caller, "retentionClock", { wall, gapMs: String(gapMs) });
      return parts.retention.confirmClock();
    },
    openapi: async () => parts.document(),
  };
}

/** Recorded before, so that nothing is erased unrecorded, and after, with counts alone. */
async function eraseOf(
  parts: HandlerParts,
  { caller, params: { instrument }, body }: ApiCall<ApiContract["retentionErase"]>,
): ReturnType<ApiHandlers["retentionErase"]> {
  known(parts, instrument);
  parts.audit.admit();
  const before = body.before ?? new Date().toISOString();
  record(parts, caller, "retentionErase", { instrument, before: body.before ?? "everything" });
  const erased = await parts.retention.erase(
    instrument,
    body.before === undefined ? null : Date.parse(body.before),
  );
  const { complete, records, events, logLines } = erased;
  parts.audit.append("retention.erase", instrument, {
    by: caller.subject,
    before,
    complete,
    records: records.removed ?? "not counted",
    outcome: records.outcome,
    events,
    logLines,
  });
  return { before, ...erased };
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
