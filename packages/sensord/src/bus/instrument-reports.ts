/**
 * Instrument reports: what instruments say to the platform, unasked, over its own connection.
 *
 * Invariants: who sent something is read from the subject that it came on, which the broker let
 * only the sender publish to; everything is checked against its schema before anybody hears of it.
 */
import {
  HealthReport,
  Hello,
  type Name,
  QuarantineReport,
  type ServiceName,
  type Welcome,
} from "@bulkhead/schema";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type * as z from "zod";
import { describeError, type Log } from "../log.ts";

/** What the platform does with what instruments say. */
export interface InstrumentPorts {
  /** An instrument is connected and subscribed. Null: it is none of the site's. */
  hello(from: Name, hello: z.infer<typeof Hello>): Welcome | null;
  health(from: Name, report: HealthReport): void;
  quarantine(from: Name, report: z.infer<typeof QuarantineReport>): void;
  badReport(from: Name, service: string, reason: string): void;
}

/** Log lines are read from their stream instead; what is asked for is instrument-services.ts's to answer. */
type Service = Exclude<ServiceName, "log" | "deliver" | "find">;

/** Hears them for as long as the connection is open. */
export function hearReports(connection: NatsConnection, ports: InstrumentPorts, log: Log): void {
  for (const service of ["hello", "health", "quarantine"] as const satisfies readonly Service[]) {
    connection.subscribe(`svc.*.${service}`, {
      callback: (error, message) => {
        if (error !== null) return;
        try {
          hear(service, message, ports);
        } catch (failure) {
          // It must not reach the client library, which would drop the connection.
          log.error("a report was not taken", { service, ...describeError(failure) });
        }
      },
    });
  }
}

function hear(service: Service, message: Msg, ports: InstrumentPorts): void {
  const from = message.subject.split(".")[1] ?? "";
  const parse = <T>(schema: z.ZodType<T>): T | undefined => {
    const said = parseMessage(message, schema);
    if (said.ok) return said.data;
    ports.badReport(from, service, said.issue);
    return undefined;
  };
  switch (service) {
    case "hello": {
      const hello = parse(Hello);
      const welcome = hello === undefined ? null : ports.hello(from, hello);
      if (welcome !== null) message.respond(JSON.stringify(welcome));
      return;
    }
    case "health": {
      const report = parse(HealthReport);
      if (report !== undefined) ports.health(from, report);
      return;
    }
    case "quarantine": {
      const report = parse(QuarantineReport);
      if (report !== undefined) ports.quarantine(from, report);
    }
  }
}

/** What a message holds, or the first thing that is wrong with it. */
export type ParsedMessage<T> =
  | { readonly ok: true; readonly data: T }
  | { readonly ok: false; readonly issue: string };

export function parseMessage<T>(message: Msg, schema: z.ZodType<T>): ParsedMessage<T> {
  const parsed = schema.safeParse(jsonOf(message));
  if (parsed.success) return { ok: true, data: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, issue: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}` };
}

function jsonOf(message: Msg): unknown {
  try {
    return message.json();
  } catch {
    return undefined; // which no schema takes
  }
}
