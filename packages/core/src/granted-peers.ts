/** Granted peers: with whom an instrument shares a grant, in either direction. Pure. */
import type { Name, Site } from "@bulkhead/schema";

export function grantedPeers({ events, messages, resources }: Site["grants"], name: Name): readonly Name[] {
  const peers = [...events, ...messages, ...resources].flatMap(({ from, to }) => {
    if (from === name) return [to];
    return to === name ? [from] : [];
  });
  return [...new Set(peers)].filter((peer) => peer !== name);
}
