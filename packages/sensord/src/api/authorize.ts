/**
 * Authorization of the API: who asks is decided by the listener that took the connection, and
 * each route names the least role that may call it. Pure.
 */
import type { IncomingMessage } from "node:http";
import type { Caller, Role } from "@bulkhead/schema";

/** Who is at the other end, or null where nobody vouches for it. One for each listener. */
export type CallerResolver = (request: IncomingMessage) => Caller | null;

/** The API's own socket is mode 0600: whoever can open it is root on this host. */
export const localRoot: CallerResolver = () => ({ subject: "local:root", role: "admin" });

const RANK: Readonly<Record<Role, number>> = { viewer: 0, analyst: 1, operator: 2, admin: 3 };

export function mayCall(caller: Caller, least: Role): boolean {
  return RANK[caller.role] >= RANK[least];
}

/** A UI's grant lists roles; who ranks above one of them may do what that one may. */
export function mayOpenUi(caller: Caller, roles: readonly Role[]): boolean {
  return roles.some((role) => mayCall(caller, role));
}
