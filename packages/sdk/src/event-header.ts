/**
 * Event header: the message headers of one event, encoded at once.
 *
 * CloudEvents 1.0, NATS protocol binding 3.1 (binary mode), plus the JetStream message id. Built
 * from one template a type, because it is made for every event: the client's header map costs
 * several times the publish itself. Values are checked, so that no value can add a header.
 */
import { CE_HEADER, MESSAGE_ID_HEADER } from "@bulkhead/schema";

/** `id` and `time` of one event → header bytes as they go on the wire. */
export type HeaderEncoder = (id: string, time: string) => Uint8Array;

const ID_PATTERN = /^[A-Za-z0-9._:-]{1,128}$/;
/** RFC 3339, any offset. */
const TIME_PATTERN = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$/;

export function isEventId(id: string): boolean {
  return ID_PATTERN.test(id);
}

export function isEventTime(time: string): boolean {
  return TIME_PATTERN.test(time);
}

/** Encoder for one type. `source` is the emitter's URI reference, `/<sensor>/<instrument>`. */
export function headerEncoder(source: string, type: string): HeaderEncoder {
  const begin = `NATS/1.0\r\n${MESSAGE_ID_HEADER}: `;
  const middle = `\r\n${CE_HEADER.specversion}: 1.0\r\n${CE_HEADER.source}: ${source}\r\n${CE_HEADER.type}: ${type}\r\n${CE_HEADER.id}: `;
  const timeKey = `\r\n${CE_HEADER.time}: `;
  return (id, time) => Buffer.from(`${begin}${id}${middle}${id}${timeKey}${time}\r\n\r\n`, "latin1");
}
