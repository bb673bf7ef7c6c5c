/**
 * Subjects, streams and inboxes of the bus, in one place (design section 8).
 */
import type { Name } from "./name.ts";

export const subjects = {
  event: (instrument: Name, type: string) => `ev.${instrument}.${type}`,
  events: (instrument: Name) => `ev.${instrument}.>`,
  message: (to: Name, from: Name, verb: string) => `msg.${to}.${from}.${verb}`,
  command: (to: Name, verb: CommandVerb) => `cmd.${to}.${verb}`,
  service: (from: Name, service: ServiceName) => `svc.${from}.${service}`,
  /** Of one delivery: a chunk by its offset, or how it ends. */
  delivery: (from: Name, id: string, step: number | "close" | "abort") => `svc.${from}.deliver.${id}.${step}`,
  inbox: (instrument: Name) => `_INBOX.${instrument}`,
  stream: (instrument: Name) => `EV_${instrument}`,
  logStream: (instrument: Name) => `LOG_${instrument}`,
  /** Durable consumer of one grant: `from`'s events of `type` for `to`. Consumer names take no dots, types no `=`. */
  consumer: (to: Name, type: string) => `${to}_${type.replaceAll(".", "=")}`,
} as const;

/** What the platform may tell an instrument. */
export type CommandVerb = "config" | "reload" | "resource" | "retention" | "stop" | "health";
/** What an instrument may tell the platform. `log` is kept by the broker, the others are requests or reports. */
export type ServiceName = "hello" | "health" | "log" | "quarantine" | "deliver" | "find";
