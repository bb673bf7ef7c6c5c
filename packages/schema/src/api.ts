/**
 * sensord's API: HTTP on a Unix socket, under /api/v1; the paths are those that the fleet's tunnel
 * will carry. Errors are RFC 9457 problems. Every caller has an identity and a role.
 */
import * as z from "zod";
import { ConfigFault, LogLine } from "./bus-message.ts";
import { LedgerRow } from "./ledger.ts";
import { DottedName, Name } from "./name.ts";
import { FlowPath, SiteFile } from "./plan.ts";

export const Role = z.enum(["viewer", "analyst", "operator", "admin"]);
export type Role = z.infer<typeof Role>;
/** Who asks: local root, or (later) a person whom the fleet vouches for. */
export interface Caller {
  readonly subject: string;
  readonly role: Role;
}

export const InstrumentState = z.enum(["starting", "running", "degraded", "stopped", "pending", "locked"]);
export type InstrumentState = z.infer<typeof InstrumentState>;

export const InstrumentStatus = z.strictObject({
  sensor: Name,
  name: Name,
  package: Name,
  version: z.string(),
  state: InstrumentState,
  /** Plain words; empty where all is well. */
  detail: z.string(),
  restarts: z.int(),
  /** It ended by itself lately; null where it did not. From the second time on it is a crash loop. */
  crash: z
    .strictObject({
      count: z.int(),
      reason: z.string(),
      /** RFC 3339; null: it is being started, or runs. */
      nextStart: z.string().nullable(),
      /** What it logged last, oldest first. */
      lastLines: z.array(LogLine),
    })
    .nullable(),
  config: z.strictObject({
    version: z.string().nullable(),
    outcome: z.enum(["none", "pending", "applied", "refused"]),
    faults: z.array(ConfigFault),
  }),
  events: z.strictObject({
    acknowledged: z.int(),
    /** Counted by the gate: what this instrument sent and the platform did not let through. */
    refused: z.int(),
    /** What only a reader could tell. */
    quarantined: z.int(),
  }),
});
export type InstrumentStatus = z.infer<typeof InstrumentStatus>;

export const SensorStatus = z.strictObject({
  sensor: Name.nullable(),
  siteVersion: z.string().nullable(),
  /** True: the host is as the site says and every instrument runs. */
  ok: z.boolean(),
  instruments: z.array(InstrumentStatus),
  taps: z.array(
    LedgerRow.extend({
      sensor: Name,
      filter: z.string(),
      wire: z.enum(["connected", "broken", "none"]),
    }),
  ),
  problems: z.array(z.strictObject({ target: z.string(), code: z.string(), message: z.string() })),
  pending: z.array(z.strictObject({ instrument: Name, what: z.string() })),
  /** Layers of protection that the host lacks, in plain words; no problem of the sensor, and no pass either. */
  absent: z.array(z.string()),
  processes: z.array(z.strictObject({ name: z.string(), state: z.enum(["up", "down"]), detail: z.string() })),
});
export type SensorStatus = z.infer<typeof SensorStatus>;

/** A site to be planned: its text, what to call it in messages, and the files that lie beside it. */
export const PlanRequest = z.strictObject({
  file: z.string().max(300),
  text: z.string().max(1024 * 1024),
  files: z.array(SiteFile),
});
export type PlanRequest = z.infer<typeof PlanRequest>;

/** After an apply: what the instruments said to their configuration. */
export const ApplyReply = z.strictObject({
  version: z.string(),
  steps: z.int(),
  configs: z.array(
    z.strictObject({
      instrument: Name,
      outcome: z.enum(["applied", "refused", "pending"]),
      faults: z.array(ConfigFault),
    }),
  ),
});
export type ApplyReply = z.infer<typeof ApplyReply>;

export const Explanation = z.strictObject({
  instrument: Name,
  package: Name,
  title: z.string(),
  role: z.string(),
  /** see, reach, keep, use: sentences, each with the line that says so (`site.yaml:12`, `instrument.yaml:8`, `platform`). */
  sections: z.array(
    z.strictObject({
      title: z.enum(["can see", "can reach", "can be reached by", "can keep", "can use", "was denied"]),
      lines: z.array(z.strictObject({ text: z.string(), by: z.string() })),
    }),
  ),
  flows: z.array(FlowPath),
});
export type Explanation = z.infer<typeof Explanation>;

export const EventQuery = z.strictObject({
  instrument: Name.optional(),
  type: DottedName.optional(),
  /** RFC 3339; only what was stored at or after it. */
  since: z.iso.datetime().optional(),
  /** At most so many, the newest; streaming goes on after them. */
  limit: z.coerce.number().int().min(1).max(10_000).default(100),
  follow: z.stringbool().default(false),
});
export type EventQuery = z.infer<typeof EventQuery>;

export const LogQuery = z.strictObject({
  limit: z.coerce.number().int().min(1).max(10_000).default(200),
});

/** RFC 9457 problem details, with our code and, where a document was bad, its faults. */
export const Problem = z.looseObject({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  detail: z.string().optional(),
  code: z.string(),
});
export type Problem = z.infer<typeof Problem>;

/**
 * Routes. `role` is the least role that may call it. Params in braces.
 * `events` with follow and `watch` answer NDJSON streams.
 */
export const API_ROUTES = {
  status: { method: "GET", path: "/api/v1/status", role: "viewer" },
  plan: { method: "POST", path: "/api/v1/site/plan", role: "operator" },
  apply: { method: "POST", path: "/api/v1/site/apply", role: "admin" },
  explain: { method: "GET", path: "/api/v1/instruments/{instrument}/explain", role: "viewer" },
  start: { method: "POST", path: "/api/v1/instruments/{instrument}/start", role: "operator" },
  stop: { method: "POST", path: "/api/v1/instruments/{instrument}/stop", role: "operator" },
  restart: { method: "POST", path: "/api/v1/instruments/{instrument}/restart", role: "operator" },
  logs: { method: "GET", path: "/api/v1/instruments/{instrument}/logs", role: "operator" },
  events: { method: "GET", path: "/api/v1/events", role: "analyst" },
  /** Who may say what to whom over the bus, and what became of it. */
  bus: { method: "GET", path: "/api/v1/bus", role: "viewer" },
  /** NDJSON of messages between instruments: metadata alone. */
  messages: { method: "GET", path: "/api/v1/messages", role: "analyst" },
  /** What was published, who has it, and in which state. */
  resources: { method: "GET", path: "/api/v1/resources", role: "viewer" },
  taps: { method: "GET", path: "/api/v1/taps", role: "viewer" },
  network: { method: "GET", path: "/api/v1/network", role: "viewer" },
  egress: { method: "GET", path: "/api/v1/egress", role: "viewer" },
  /** Reverse proxy to the instrument's own HTTP, over its `ui.sock`: /api/v1/instruments/{instrument}/ui/… */
  ui: { method: "GET", path: "/api/v1/instruments/{instrument}/ui/*", role: "analyst" },
  /** NDJSON of the audit log's entries. */
  audit: { method: "GET", path: "/api/v1/audit", role: "admin" },
  auditEntry: { method: "GET", path: "/api/v1/audit/{seq}", role: "admin" },
  retention: { method: "GET", path: "/api/v1/retention", role: "viewer" },
  retentionErase: {
    method: "POST",
    path: "/api/v1/instruments/{instrument}/retention/erase",
    role: "admin",
  },
  /** The operator says that the host's clock is right. */
  retentionClock: { method: "POST", path: "/api/v1/retention/clock", role: "admin" },
  openapi: { method: "GET", path: "/api/openapi.json", role: "viewer" },
} as const;
export type ApiRoute = keyof typeof API_ROUTES;
