/**
 * API contract: for each route of API_ROUTES what it takes and what it answers. The table of
 * routes (method, path, least role) is the schema's; a route that is missing here does not
 * compile. Requests and replies are checked against these, and OpenAPI is made from them.
 */
import {
  type ApiRoute,
  ApplyReply,
  AuditQuery,
  AuditRecord,
  BusReport,
  type Caller,
  ClockState,
  EgressStatus,
  EraseReply,
  EraseRequest,
  EventQuery,
  EventRecord,
  Explanation,
  LogLine,
  LogQuery,
  MessageQuery,
  MessageRecord,
  Name,
  NetworkStatus,
  Plan,
  PlanRequest,
  ResourcesReport,
  RetentionReport,
  SensorStatus,
} from "@bulkhead/schema";
import type { IncomingMessage, ServerResponse } from "node:http";
import * as z from "zod";

const InstrumentParams = z.strictObject({ instrument: Name });
const AuditEntryParams = z.strictObject({ seq: z.coerce.number().int().min(1) });
const Done = z.strictObject({ ok: z.literal(true) });
const NoQuery = z.strictObject({});
const NoParams = z.strictObject({});
/** Orders carry no body; an empty object is put up with, for clients that always send JSON. */
const NoBody = z.strictObject({}).nullish();

/** `json`: one document. `lines`: NDJSON as it comes. `proxy`: what the instrument answers. */
export const API_CONTRACT = {
  status: json({ reply: SensorStatus }),
  plan: json({ body: PlanRequest, reply: Plan }),
  apply: json({ reply: ApplyReply }),
  explain: json({ params: InstrumentParams, reply: Explanation }),
  start: json({ params: InstrumentParams, reply: Done }),
  stop: json({ params: InstrumentParams, reply: Done }),
  restart: json({ params: InstrumentParams, reply: Done }),
  logs: lines({ params: InstrumentParams, query: LogQuery, line: LogLine }),
  events: lines({ params: NoParams, query: EventQuery, line: EventRecord }),
  bus: json({ reply: BusReport }),
  messages: lines({ params: NoParams, query: MessageQuery, line: MessageRecord }),
  resources: json({ reply: ResourcesReport }),
  taps: json({ reply: SensorStatus.shape.taps }),
  network: json({ reply: NetworkStatus }),
  egress: json({ reply: EgressStatus }),
  ui: {
    kind: "proxy",
    params: z.strictObject({ instrument: Name, "*": z.string() }),
    query: z.looseObject({}),
    body: NoBody,
  },
  audit: lines({ params: NoParams, query: AuditQuery, line: AuditRecord }),
  auditEntry: json({ params: AuditEntryParams, reply: AuditRecord }),
  retention: json({ reply: RetentionReport }),
  retentionErase: json({ params: InstrumentParams, body: EraseRequest, reply: EraseReply }),
  retentionClock: json({ reply: ClockState }),
  openapi: json({ reply: z.looseObject({ openapi: z.string() }) }),
} as const satisfies Record<ApiRoute, RouteShape>;

export type ApiContract = typeof API_CONTRACT;

interface RouteTakes {
  readonly params: z.ZodType;
  readonly query: z.ZodType;
  readonly body: z.ZodType;
}
export type RouteShape = RouteTakes &
  (
    | { readonly kind: "json"; readonly reply: z.ZodType }
    | { readonly kind: "lines"; readonly line: z.ZodType }
    | { readonly kind: "proxy" }
  );

/** One call, after it was let in and checked. */
export interface ApiCall<S extends RouteShape = RouteShape> {
  readonly caller: Caller;
  readonly params: z.output<S["params"]>;
  readonly query: z.output<S["query"]>;
  readonly body: z.output<S["body"]>;
  /** Aborted when the caller goes away. */
  readonly signal: AbortSignal;
  /** For a proxy alone: others answer by what they return. */
  readonly exchange: { readonly request: IncomingMessage; readonly response: ServerResponse };
}

export type ApiAnswer<S extends RouteShape> = S extends { readonly reply: infer R extends z.ZodType }
  ? Promise<z.input<R>>
  : S extends { readonly line: infer L extends z.ZodType }
    ? AsyncIterable<z.input<L>>
    : Promise<void>;

/** Exhaustive: a route without a handler does not compile. */
export type ApiHandlers = {
  readonly [R in ApiRoute]: (call: ApiCall<ApiContract[R]>) => ApiAnswer<ApiContract[R]>;
};

function json<
  R extends z.ZodType,
  P extends z.ZodType = typeof NoParams,
  B extends z.ZodType = typeof NoBody,
>(shape: { readonly reply: R; readonly params?: P; readonly body?: B }) {
  return {
    kind: "json" as const,
    // Left out means the default of the type parameter.
    params: (shape.params ?? NoParams) as P,
    query: NoQuery,
    body: (shape.body ?? NoBody) as B,
    reply: shape.reply,
  };
}

function lines<L extends z.ZodType, P extends z.ZodType, Q extends z.ZodType>(shape: {
  readonly line: L;
  readonly params: P;
  readonly query: Q;
}) {
  return { kind: "lines" as const, body: NoBody, ...shape };
}
