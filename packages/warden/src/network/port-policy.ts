/**
 * What may pass an instrument's port, decided: its own addresses, and flows by address and port. Both layers of rules
 * are rendered from it. Pure.
 */
import {
  type IpRange,
  parseDestination,
  parseListenPort,
  type PortRange,
  type Transport,
} from "@bulkhead/schema";

export interface PortPolicy {
  readonly mac: string;
  /** What the MAC addresses of all instruments of the installation begin with. */
  readonly instrumentsMac: string;
  readonly ipv4: readonly string[];
  /** With the link-local one, where there is any. */
  readonly ipv6: readonly string[];
  readonly listen: readonly ListenFlow[];
  readonly egress: readonly EgressFlow[];
  /** Whether a DHCP client of the platform, of this uid, asks for the address. */
  readonly dhcpUid: number | null;
}

export interface ListenFlow {
  /** As the site says it. */
  readonly text: string;
  readonly protocol: Transport;
  readonly ports: PortRange;
}

export interface EgressFlow extends ListenFlow {
  readonly to: IpRange;
}

/** The texts were checked by the schema. */
export function listenFlows(texts: readonly string[]): readonly ListenFlow[] {
  return texts.flatMap((text) => {
    const parsed = parseListenPort(text);
    return parsed === null ? [] : [{ text, ...parsed }];
  });
}

export function egressFlows(texts: readonly string[]): readonly EgressFlow[] {
  return texts.flatMap((text) => {
    const parsed = parseDestination(text);
    return parsed === null ? [] : [{ text, ...parsed }];
  });
}

/** `22` or `5000-5010`, as nft takes it. */
export function renderPorts({ first, last }: PortRange): string {
  return first === last ? String(first) : `${first}-${last}`;
}

export function renderSet(items: readonly string[]): string {
  return `{ ${items.join(", ")} }`;
}
