/**
 * Message routes: which messages the site's grants let through, and on what terms. Pure.
 *
 * Invariants: a route is there only where both sides declare the verb, with the same schemas of
 * request and reply; the deadline is the recipient's.
 */
import {
  DEFAULT_MESSAGE_DEADLINE_MS,
  type MessageRoute,
  type Name,
  type Need,
  PLATFORM_NAME,
  type Site,
} from "@bulkhead/schema";
import { renderCanonical } from "./canonical.ts";

type Accept = Extract<Need, { kind: "message.accept" }>;
type Send = Extract<Need, { kind: "message.send" }>;
type MessageGrant = Site["grants"]["messages"][number];

/** Routes of all grants, each once; and the grants that give nothing, each with the reason. */
export function planMessages(
  needs: ReadonlyMap<Name, readonly Need[]>,
  grants: readonly MessageGrant[],
): { readonly routes: readonly MessageRoute[]; readonly ignored: readonly string[] } {
  const routes = new Map<string, MessageRoute>();
  const ignored: string[] = [];
  for (const { from, verb, to } of grants) {
    const send = findSend(needs.get(from) ?? [], verb);
    const accept = findAccept(needs.get(to) ?? [], verb);
    const what = `message ${verb} from ${from} to ${to}`;
    if (from === to || from === PLATFORM_NAME) ignored.push(`${what}: not between two instruments`);
    else if (send === undefined || accept === undefined) ignored.push(`${what}: not declared by both`);
    else if (!sameSchemas(send, accept)) ignored.push(`${what}: declared with different schemas`);
    else {
      const { deadline = DEFAULT_MESSAGE_DEADLINE_MS } = accept;
      const reply = accept.reply === undefined ? "status" : "data";
      routes.set(`${from} ${to} ${verb}`, { from, to, verb, deadlineMs: deadline, reply });
    }
  }
  return { routes: [...routes.values()], ignored };
}

export function findSend(needs: readonly Need[], verb: string): Send | undefined {
  return needs.find((need): need is Send => need.kind === "message.send" && need.verb === verb);
}

export function findAccept(needs: readonly Need[], verb: string): Accept | undefined {
  return needs.find((need): need is Accept => need.kind === "message.accept" && need.verb === verb);
}

/** Whether sender and recipient mean the same by a verb. */
export function sameSchemas(send: Send, accept: Accept): boolean {
  return (["request", "reply"] as const).every(
    (side) => renderCanonical(send[side] ?? null) === renderCanonical(accept[side] ?? null),
  );
}
