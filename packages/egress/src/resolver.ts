/**
 * Resolves a host's name by the site's own DNS servers, once for each connection; what it answers is checked and then
 * connected to, so that there is no second answer. The host's files and servers are never asked.
 */
import { Resolver } from "node:dns/promises";
import { objectionTo } from "./address.ts";
import { Refusal } from "./refusal.ts";

const TIMEOUT_MS = 3_000;
const TRIES = 2;
/** More answers than this are cut: a name with hundreds of addresses is no host. */
const MOST_ADDRESSES = 32;

export interface Resolution {
  readonly servers: readonly string[];
  /** Networks that a name may lead to although they are private. */
  readonly exceptions: readonly string[];
}

/**
 * All addresses of `host`, each allowed. An answer that holds one that is not is refused whole: which of them the
 * client would have used is not for its luck to decide.
 * @throws Refusal `address-refused`, `dns-failed`, `name-not-found`
 */
export async function resolveHost(
  host: string,
  { servers, exceptions }: Resolution,
): Promise<readonly string[]> {
  if (servers.length === 0)
    throw new Refusal("dns-failed", "the site names no DNS server for this interface");
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  resolver.setServers(servers.map((server) => (server.includes(":") ? `[${server}]` : server)));
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  const addresses = answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
  if (addresses.length === 0) throw failure(host, answers);
  for (const address of addresses) {
    const objection = objectionTo(address, exceptions);
    if (objection !== null) {
      throw new Refusal("address-refused", `${host} leads to ${address}: ${objection}`, { address });
    }
  }
  return addresses.slice(0, MOST_ADDRESSES);
}

function failure(host: string, answers: readonly PromiseSettledResult<readonly string[]>[]): Refusal {
  const codes = answers.map((answer) => (answer.status === "rejected" ? codeOf(answer.reason) : ""));
  const absent = codes.every((code) => code === "ENOTFOUND" || code === "ENODATA");
  return absent
    ? new Refusal("name-not-found", `${host} has no address`)
    : new Refusal("dns-failed", `${host} could not be resolved: ${codes.join(", ")}`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : String(error);
}
