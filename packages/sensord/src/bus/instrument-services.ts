/**
 * Instrument services: what an instrument may ask of the platform: to deliver, and to find.
 *
 * Invariants: who asks is read from the subject, which the broker let only the asker publish to;
 * requests are checked against their schemas, and always answered, so that nobody waits in vain.
 */
import {
  type ChunkAnswer,
  type CloseAnswer,
  DeliveryOpen,
  type DeliveryOpened,
  type FindAnswer,
  FindRequest,
  type Name,
  NO_SUCH_DELIVERY,
  type RefusedDelivery,
} from "@bulkhead/schema";
import type { Msg, NatsConnection } from "@nats-io/transport-node";
import type * as z from "zod";
import { describeError, type Log } from "../log.ts";
import type { DeliveryDesk } from "../resources/delivery-desk.ts";
import { parseMessage } from "./instrument-reports.ts";

export interface InstrumentServices {
  readonly deliveries: Pick<DeliveryDesk, "admit" | "open" | "chunk" | "close" | "abort">;
  /** Peers of this package with whom `from` shares a grant. */
  find(from: Name, request: FindRequest): FindAnswer;
}

const NOT_HERE: RefusedDelivery = {
  ok: false,
  refusal: "not-declared",
  message: "nothing is delivered here",
};
/** A bus on which nothing is delivered and nobody found. */
export const NO_SERVICES: InstrumentServices = {
  deliveries: {
    admit: () => NO_SUCH_DELIVERY,
    open: async () => NOT_HERE,
    chunk: async () => NOT_HERE,
    close: async () => NOT_HERE,
    abort: async () => NOT_HERE,
  },
  find: () => ({ ok: false, message: "nobody is found here" }),
};

type Answer =
  | z.infer<typeof DeliveryOpened>
  | z.infer<typeof ChunkAnswer>
  | z.infer<typeof CloseAnswer>
  | FindAnswer
  | RefusedDelivery;
type OnBad = (from: Name, service: string, reason: string) => void;

/** Serves them for as long as the connection is open. */
export function serveInstruments(
  connection: NatsConnection,
  services: InstrumentServices,
  onBad: OnBad,
  log: Log,
): void {
  const serve = (subject: string, answer: (from: Name, message: Msg) => Promise<Answer> | Answer): void => {
    const respond = async (message: Msg): Promise<void> => {
      const from = message.subject.split(".")[1] ?? "";
      try {
        const said = await answer(from, message);
        if (!connection.isClosed()) message.respond(JSON.stringify(said));
      } catch (failure) {
        log.error("a request was not answered", { subject, from, ...describeError(failure) });
      }
    };
    connection.subscribe(subject, {
      callback: (error, message) => void (error === null && respond(message)),
    });
  };
  serve("svc.*.deliver", (from, message) => {
    const request = parseMessage(message, DeliveryOpen);
    if (request.ok) return services.deliveries.open(from, request.data);
    onBad(from, "deliver", request.issue);
    return { ok: false, refusal: "invalid", message: request.issue };
  });
  serve("svc.*.deliver.>", (from, message) => deliveryStep(services.deliveries, from, message));
  serve("svc.*.find", (from, message) => {
    const request = parseMessage(message, FindRequest);
    if (request.ok) return services.find(from, request.data);
    onBad(from, "find", request.issue);
    return { ok: false, message: request.issue };
  });
}

function deliveryStep(
  deliveries: InstrumentServices["deliveries"],
  from: Name,
  message: Msg,
): Promise<Answer> | Answer {
  const [, , , id = "", step = "", ...more] = message.subject.split(".");
  if (more.length === 0 && step === "close") return deliveries.close(from, id);
  if (more.length === 0 && step === "abort") return deliveries.abort(from, id);
  if (more.length === 0 && /^\d{1,15}$/.test(step)) {
    return deliveries.chunk(from, id, Number(step), message.data);
  }
  return { ok: false, refusal: "invalid", message: "an offset, close or abort" };
}
