/**
 * Event record: what stands in a stream, as a reader gets it, or why it cannot be read.
 *
 * Invariants: emitter, type, sequence and time of storing come from the broker, never from what
 * the emitter claims; headers are those of the CloudEvents NATS binding, 1.0, binary mode. Pure.
 */
import { CE_HEADER, DottedName, type EventRecord, MESSAGE_ID_HEADER, Name } from "@bulkhead/schema";

/** One message of a stream. */
export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  readonly storedMs: number;
  /** Empty string where there is none. @throws if the header block is not one. */
  header(name: string): string;
  /** The payload as text. */
  text(): string;
}

export type EventReading =
  | { readonly ok: true; readonly event: EventRecord }
  | { readonly ok: false; readonly reason: string };

const ID = /^[\x21-\x7e]{1,128}$/;
/** RFC 3339. */
const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;
const SUBJECT = /^ev\.([^.]+)\.(.+)$/;

export function readEvent(message: StoredMessage): EventReading {
  const [, emitter, subjectType] = SUBJECT.exec(message.subject) ?? [];
  const instrument = Name.safeParse(emitter);
  const type = DottedName.safeParse(subjectType);
  if (!instrument.success || !type.success) return refused("not a subject of events");
  let headers: Readonly<Record<"specversion" | "id" | "type" | "time" | "messageId", string>>;
  try {
    headers = {
      specversion: message.header(CE_HEADER.specversion),
      id: message.header(CE_HEADER.id),
      type: message.header(CE_HEADER.type),
      time: message.header(CE_HEADER.time),
      messageId: message.header(MESSAGE_ID_HEADER),
    };
  } catch {
    return refused("headers that are none"); // the client library's words for it say no more
  }
  if (headers.specversion !== "1.0") return refused(`${CE_HEADER.specversion} is not 1.0`);
  if (!ID.test(headers.id)) return refused(`${CE_HEADER.id} is no id`);
  if (headers.messageId !== "" && headers.messageId !== headers.id) {
    return refused(`${MESSAGE_ID_HEADER} is not ${CE_HEADER.id}`);
  }
  if (headers.type !== type.data) return refused(`${CE_HEADER.type} is not that of the subject`);
  if (!TIME.test(headers.time) || Number.isNaN(Date.parse(headers.time))) {
    return refused(`${CE_HEADER.time} is no time`);
  }
  let data: unknown;
  try {
    data = JSON.parse(message.text());
  } catch {
    return refused("not JSON"); // all that JSON.parse can fail at
  }
  return {
    ok: true,
    event: {
      id: headers.id,
      instrument: instrument.data,
      type: type.data,
      time: headers.time,
      stored: new Date(message.storedMs).toISOString(),
      sequence: message.sequence,
      data,
    },
  };
}

function refused(reason: string): EventReading {
  return { ok: false, reason };
}
