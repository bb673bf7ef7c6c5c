/**
 * The demo's protected network on paper: who is in it, with which addresses and names.
 *
 * Pure: it only names things. Addresses are private or for documentation (RFC 1918, RFC 5737, RFC 3849), names are
 * under `example` (RFC 2606). The attacker sits outside the protected prefix, as an attacker does; the others reach
 * it on the same wire, so that no router is needed.
 */
import { createHash } from "node:crypto";
import { TestkitError } from "./error.ts";

export const HOST_ROLES = ["client1", "client2", "web", "dns", "attacker"] as const;
export type HostRole = (typeof HOST_ROLES)[number];

/** One host of the network. `port` is the name of its port on the switch. */
export interface DemoHost {
  readonly role: HostRole;
  readonly namespace: string;
  readonly port: HostRole;
  readonly mac: string;
  readonly ipv4: string;
  readonly ipv6: string;
}

export interface DemoTopology {
  readonly slug: string;
  readonly switchNamespace: string;
  /** The host's interface that a site names as the span's `device`. */
  readonly spanDevice: string;
  readonly hosts: Readonly<Record<HostRole, DemoHost>>;
}

/** The protected prefixes: what HOME_NET must hold. */
export const PROTECTED_IPV4 = "10.20.30.0/24";
export const PROTECTED_IPV6 = "2001:db8:20::/64";
/** The outside, where the attacker is. */
export const OUTSIDE_IPV4 = "203.0.113.0/24";
export const OUTSIDE_IPV6 = "2001:db8:66::/64";

/** Names of the switch's own devices. */
export const BRIDGE_DEVICE = "br0";
export const SWITCH_SPAN_DEVICE = "span";

export const DEMO_DOMAIN = "corp.example";

const NUMBERS: Readonly<Record<HostRole, number>> = {
  client1: 11,
  client2: 12,
  web: 80,
  dns: 53,
  attacker: 66,
};

/** The topology of an installation's demo network; @throws TestkitError `testkit-bad-name`. */
export function demoTopology(slug: string): DemoTopology {
  if (!/^[a-z][a-z0-9]*(-[a-z0-9]+)*$/.test(slug) || slug.length > 32) {
    throw new TestkitError("testkit-bad-name", `installation slug ${slug}`);
  }
  const host = (role: HostRole): DemoHost => ({
    role,
    namespace: `${slug}-net-${role}`,
    port: role,
    mac: `02:bd:20:30:00:${NUMBERS[role].toString(16).padStart(2, "0")}`,
    ipv4: role === "attacker" ? `203.0.113.${NUMBERS[role]}` : `10.20.30.${NUMBERS[role]}`,
    ipv6: role === "attacker" ? `2001:db8:66::${NUMBERS[role]}` : `2001:db8:20::${NUMBERS[role]}`,
  });
  return {
    slug,
    switchNamespace: `${slug}-net-switch`,
    spanDevice: spanDevice(slug),
    hosts: {
      client1: host("client1"),
      client2: host("client2"),
      web: host("web"),
      dns: host("dns"),
      attacker: host("attacker"),
    },
  };
}

/** The host's end of the span: 14 characters, the same for the same installation. */
export function spanDevice(slug: string): string {
  return `bh${createHash("sha256").update(`${slug}\0demo\0span`).digest("hex").slice(0, 12)}`;
}
