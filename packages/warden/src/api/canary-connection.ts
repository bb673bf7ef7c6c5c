/**
 * A canary lives as long as the connection that asked for it: the answer is its first line, and the response stays
 * open until the canary is gone or the client is.
 *
 * Invariants: whoever ends the connection, also while the canary is still being made, leaves no canary behind; only
 * the canary of this connection is removed, never one that came after it.
 */
import type { FastifyReply } from "fastify";
import type { HeldCanary } from "../verify/canaries.ts";

/**
 * @param make what it throws is the order's refusal
 * @param onLost told of a canary that was removed because its connection ended; of the failure where it could not be
 */
export async function holdCanary(
  reply: FastifyReply,
  make: () => Promise<HeldCanary>,
  onLost: (failure: Error | null) => void | Promise<void>,
): Promise<FastifyReply> {
  const { raw } = reply;
  const lost = new Promise<"lost">((resolve) => raw.once("close", () => resolve("lost")));
  const canary = await make();
  reply.hijack();
  if (!raw.destroyed) {
    raw.writeHead(200, { "content-type": "application/x-ndjson" });
    raw.write(`${JSON.stringify(canary.reply)}\n`);
  }
  void Promise.race([lost, canary.ended])
    .then(async (how) => {
      if (how === "lost" && (await canary.release())) await onLost(null);
      else raw.end();
    })
    .catch((error: unknown) => onLost(error instanceof Error ? error : new Error(String(error))));
  return reply;
}
