/**
 * Redirect: where an answer may lead. Pure.
 *
 * Invariants: within the source's own host and the hosts that the operator named for it; never from TLS into the
 * clear; never with a user in the address.
 */
import { parseEgressTarget, renderEgressTarget } from "@bulkhead/schema";
import { Problem } from "./problem.ts";

export const MOST_REDIRECTS = 5;

/** `https://HOST/…` → `HOST:443`, `http://HOST/…` → `http://HOST:80`: as the site's grants name it. */
export function targetOf(url: URL): string {
  const tls = url.protocol === "https:";
  const port = url.port === "" ? (tls ? 443 : 80) : Number(url.port);
  return renderEgressTarget({ scheme: tls ? "tls" : "http", host: url.hostname, port });
}

/** @throws Problem `redirect` */
export function follow(from: URL, location: string | undefined, allowed: readonly string[]): URL {
  const to = location === undefined ? null : URL.parse(location, from.href);
  if (to === null || (to.protocol !== "https:" && to.protocol !== "http:"))
    throw refuse(from, "to no address");
  if (to.username !== "" || to.password !== "") throw refuse(from, "to an address with a user");
  if (from.protocol === "https:" && to.protocol === "http:") throw refuse(from, "out of TLS into the clear");
  const known = new Set([targetOf(from), ...allowed.map(canonical)]);
  if (!known.has(targetOf(to))) throw refuse(from, `to ${targetOf(to)}, which redirectHosts does not name`);
  to.hash = "";
  return to;
}

function canonical(text: string): string {
  const target = parseEgressTarget(text);
  return target === null ? text : renderEgressTarget(target);
}

function refuse(from: URL, where: string): Problem {
  return new Problem("redirect", `${from.host} leads ${where}`);
}
