/**
 * Egress records: what the proxy says of each connection becomes an event of the platform, refusals an entry of the
 * audit too.
 *
 * Invariants: a record is acknowledged when the broker has stored it, not before; one that comes again is the same
 * event. What is no record ends the connection: only the proxy can reach the socket, and it writes nothing else.
 */
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { EgressRecord } from "@bulkhead/schema";
import { join } from "node:path";
import type { AuditSums, Occurrence } from "./audit-sums.ts";
import { describeError, type Log } from "./log.ts";
import { UnixListener } from "./unix-listener.ts";

const LINE_CHARS = 4_000;
/** The proxy has one; a new one may come before the old one's end is seen. */
const MOST_CONNECTIONS = 4;

export interface EgressRecordsParts {
  readonly recordDir: string;
  readonly emit: (type: string, data: unknown, id: string) => Promise<unknown>;
  readonly refusals: Pick<AuditSums, "add">;
  readonly log: Log;
}

/** Listens until disposed of. */
export function startEgressRecords({ recordDir, emit, refusals, log }: EgressRecordsParts): AsyncDisposable {
  const listener = new UnixListener({
    path: join(recordDir, "egress.sock"),
    // Who may come near is said by the directories above; the proxy sees this one, and no instrument does.
    mode: 0o666,
    maxConnections: MOST_CONNECTIONS,
    onConnection: (socket) => {
      socket.on("error", () => socket.destroy());
      take(socket).catch((error: unknown) => {
        log.warn("egress records", describeError(error));
        socket.destroy();
      });
    },
    log,
  });

  /** One at a time: while the broker is away the proxy's own bounded queue fills, and then it refuses. */
  async function take(socket: Socket): Promise<void> {
    for await (const line of createInterface(socket)) {
      if (line.length > LINE_CHARS) throw new RangeError("a record that is too long");
      const record = EgressRecord.parse(JSON.parse(line));
      const { id, ...data } = record;
      await emit(record.state === "refused" ? "egress.refused" : "egress.connection", data, id);
      if (record.state === "refused") refusals.add(refusalOf(record));
      socket.write(`${JSON.stringify({ kept: id })}\n`);
    }
  }

  return listener;
}

function refusalOf({ instrument, host, port, reason, address, unrecorded }: EgressRecord): Occurrence {
  return {
    kind: "egress.refused",
    subject: instrument,
    facts: { reason: reason ?? "" },
    finer: { host, port, address },
    count: 1 + unrecorded,
  };
}
