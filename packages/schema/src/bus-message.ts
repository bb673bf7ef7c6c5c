/**
 * What the platform and an instrument say to one another over the bus: greeting, configuration
 * and its acknowledgement, health, log lines. JSON, checked at both ends.
 */
import * as z from "zod";
import { DottedName, Name } from "./name.ts";

/** `svc.<i>.hello` (request): the instrument is connected and subscribed. The reply says who it is. */
export const Hello = z.strictObject({ sdk: z.string().max(40), package: Name.optional() });
export const Welcome = z.strictObject({
  instrument: Name,
  sensor: Name,
  /** Durable consumers that the platform made for this instrument, one for each events grant. */
  consumers: z.array(
    z.strictObject({ stream: z.string(), consumer: z.string(), from: Name, type: DottedName }),
  ),
  /** Types that this instrument may emit. */
  emits: z.array(DottedName),
  /** Messages that it may send, and within what they are answered. */
  sends: z.array(z.strictObject({ to: Name, verb: DottedName, deadlineMs: z.int() })).default([]),
  /** Who may send it what. */
  accepts: z.array(z.strictObject({ from: Name, verb: DottedName })).default([]),
  /** Types of resources that it may publish, and how large each may be. */
  publishes: z.array(z.strictObject({ type: DottedName, maxBytes: z.int() })).default([]),
  /** Whose resources it is given. */
  receives: z.array(z.strictObject({ from: Name, type: DottedName })).default([]),
});
export type Welcome = z.infer<typeof Welcome>;

/** `cmd.<i>.config` (request): the whole configuration, never a part. */
export const ConfigCommand = z.strictObject({
  /** sha256 (16 hex digits) over config and files: the same version twice changes nothing. */
  version: z.string(),
  config: z.record(z.string(), z.unknown()),
  retentionMs: z.number().nullable(),
  /** Files that the config names, below `/inbox/<version>/`; null where it names none. */
  files: z.strictObject({ version: z.string(), names: z.array(z.string()) }).nullable(),
});
export type ConfigCommand = z.infer<typeof ConfigCommand>;

export const ConfigFault = z.strictObject({
  file: z.string().optional(),
  line: z.int().optional(),
  message: z.string().max(2000),
});
/** Answer to `cmd.<i>.config`. Refused means: the former configuration goes on. */
export const ConfigAnswer = z.discriminatedUnion("outcome", [
  z.strictObject({
    outcome: z.literal("applied"),
    version: z.string(),
    note: z.string().max(2000).optional(),
  }),
  z.strictObject({
    outcome: z.literal("refused"),
    version: z.string(),
    faults: z.array(ConfigFault).min(1).max(100),
  }),
]);
export type ConfigAnswer = z.infer<typeof ConfigAnswer>;

/** `svc.<i>.health` (publish, every 5 s and on change). `counters` are monotonic within one start of the tool. */
export const HealthReport = z.strictObject({
  state: z.enum(["starting", "ready", "degraded"]),
  detail: z.string().max(500),
  /** Starts of the tool so far and when the present one began; `null` tool: the instrument is its own tool. */
  restarts: z.int().min(0),
  configVersion: z.string().nullable(),
  /** What the tool says of the packets it got, for the loss ledger; null without a tap, or while it does not say. */
  packets: z
    .strictObject({
      /** Changes with each start of the tool, so that counters from before are not mixed with those after. */
      epoch: z.string().max(64),
      received: z.int().min(0),
      dropped: z.int().min(0),
    })
    .nullable(),
  /** Events: acknowledged by the broker, refused, and waiting to be sent. */
  events: z.strictObject({
    acknowledged: z.int().min(0),
    refused: z.int().min(0),
    waiting: z.int().min(0),
  }),
  oldestRecord: z.string().nullable(),
});
export type HealthReport = z.infer<typeof HealthReport>;

/** `svc.<i>.log` (publish): one line. */
export const LogLine = z.strictObject({
  time: z.string(),
  level: z.enum(["debug", "info", "warn", "error"]),
  message: z.string().max(4000),
});
export type LogLine = z.infer<typeof LogLine>;

/** `svc.<i>.quarantine` (publish): an event that this consumer could not read. */
export const QuarantineReport = z.strictObject({
  from: Name,
  type: DottedName,
  sequence: z.int(),
  reason: z.string().max(500),
});
export type RefusedConfig = Extract<ConfigAnswer, { outcome: "refused" }>;
