/**
 * Which addresses a name may lead to: public unicast, and what the site names as an exception. Pure.
 *
 * Ranges are ipaddr.js's reading of the IANA special-purpose registries (RFC 6890); whatever is not plain unicast is
 * refused: private, shared, link-local (and with it the clouds' metadata services), unique-local, documentation,
 * mapped, translated and tunnelled addresses.
 */
import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** No site can name these: they are the proxy's own namespace, everybody, or an IPv4 address in disguise. */
const NEVER: readonly string[] = ["loopback", "unspecified", "multicast", "broadcast", "ipv4Mapped"];
/** Global unicast (RFC 4291 section 2.4): all that IANA has given out for it. */
const GLOBAL_IPV6 = ipaddr.IPv6.parseCIDR("2000::/3");

/**
 * Null where a connection to `text` is allowed, else what it is.
 * @param exceptions networks with prefix length that the site names
 */
export function objectionTo(text: string, exceptions: readonly string[]): string | null {
  if (isIP(text) === 0 || text.includes("%")) return "no address";
  const address = ipaddr.parse(text);
  const range: string = address.range();
  if (NEVER.includes(range)) return range;
  const global = address instanceof ipaddr.IPv4 || address.match(GLOBAL_IPV6);
  if (range === "unicast" && global) return null;
  const named = exceptions.some((exception) => {
    const [network, bits] = ipaddr.parseCIDR(exception);
    return network.kind() === address.kind() && address.match(network, bits);
  });
  if (named) return null;
  return range === "unicast" ? "outside of global unicast" : range;
}
