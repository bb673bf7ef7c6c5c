/**
 * Deliveries at the stand-in bus: the platform's own desk for the canary, which is given something small to publish
 * beside what its instrument declares, so that there is a desk to get past.
 *
 * Invariant: whatever is let begin is counted as `delivery`. Left out, everything is.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { CANARY_NAME } from "@bulkhead/schema";
import { NO_SERVICES, serveInstruments } from "@bulkhead/sensord/bus/instrument-services";
import { DeliveryDesk } from "@bulkhead/sensord/resources/delivery-desk";
import { DEFAULT_RESOURCE_LIMITS } from "@bulkhead/sensord/resources/limits";
import { resourceRights } from "@bulkhead/sensord/resources/resource-rights";
import { Spool } from "@bulkhead/sensord/resources/spool";
import type { NatsConnection } from "@nats-io/transport-node";
import { PROBE } from "../probe-resource.ts";

/** What an open is answered with where nobody judges it. */
const TAKEN = JSON.stringify({ ok: true, id: "0".repeat(16), chunkBytes: 1024, window: 1 });
const SILENT = { info: () => undefined, warn: () => undefined, error: () => undefined };

/** Takes what the canary delivers, as long as this process lives. */
export async function takeDeliveries(
  observer: NatsConnection,
  order: { readonly dir: string; readonly withoutDesk: boolean },
  counts: Record<string, number>,
): Promise<Pick<DeliveryDesk, "admit">> {
  const took = (): void => void (counts["delivery"] = (counts["delivery"] ?? 0) + 1);
  if (order.withoutDesk) {
    observer.subscribe(`svc.${CANARY_NAME}.deliver`, {
      callback: (_error, message) => {
        took();
        message.respond(TAKEN);
      },
    });
    return NO_SERVICES.deliveries;
  }
  const dir = join(order.dir, "spool");
  mkdirSync(dir, { recursive: true });
  const desk = new DeliveryDesk({
    limits: DEFAULT_RESOURCE_LIMITS,
    spool: await Spool.open({ dir, receiversDir: join(dir, "receivers") }),
    rights: () => resourceRights([{ name: CANARY_NAME, needs: [PROBE] }], []),
    usage: () => ({ names: 0, bytes: 0 }),
    publish: async (_from, _request, { sha256, sizeBytes }) => ({
      version: `1-${sha256.slice(0, 12)}`,
      sha256,
      sizeBytes,
      receivers: [],
    }),
    onRefused: () => undefined,
    onDelivered: () => undefined,
    nowMs: () => performance.now(),
    log: SILENT,
  });
  const open: DeliveryDesk["open"] = async (from, request) => {
    const answer = await desk.open(from, request);
    if (answer.ok) took();
    return answer;
  };
  const deliveries = {
    admit: desk.admit.bind(desk),
    open,
    chunk: desk.chunk.bind(desk),
    close: desk.close.bind(desk),
    abort: desk.abort.bind(desk),
  };
  serveInstruments(observer, { ...NO_SERVICES, deliveries }, () => undefined, SILENT);
  return desk;
}
