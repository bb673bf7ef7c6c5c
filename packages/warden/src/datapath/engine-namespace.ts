/**
 * The network namespace of a capture engine: made, recognised and removed by warden, joined by the engine's container.
 *
 * Invariants: it belongs to the host's user namespace, so nothing inside the container can change it; it outlives the
 * container; IPv6 is off in it before a device arrives; the alias of its `lo` says whose it is, and a namespace that
 * somebody else made under the same name is left alone. It holds the counters of the span, which outlive the span's
 * device. Spans and wires are not made here.
 */
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import type { NamespaceView } from "./namespace-census.ts";
import { nameState, namespaceDirectory as directory } from "./named-namespaces.ts";
import { disableIpv6, hasFlags, namespaceAt, observeLink, observeLinks } from "./namespace.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { engineNamespaceName, engineTag, parseEngineTag } from "./naming.ts";
import { ensureSpanCounters } from "./span-counters.ts";

/** Where `ip netns` keeps names; the engine's container joins by this path (raw.lxc `lxc.namespace.share.net`). */
export function engineNamespacePath(slug: string, engine: string): string {
  return `${directory}/${engineNamespaceName(slug, engine)}`;
}

/** A handle on an engine's namespace; it need not exist. */
export function engineNamespace(commands: Commands, slug: string, engine: string): NetworkNamespace {
  return namespaceAt(commands, engineNamespacePath(slug, engine));
}

/**
 * Makes the namespace or completes what is missing in it. Idempotent.
 *
 * @throws WardenError `datapath-namespace-foreign` if somebody else's namespace has the name
 */
export async function ensureEngineNamespace(commands: Commands, slug: string, engine: string): Promise<void> {
  const name = engineNamespaceName(slug, engine);
  const namespace = engineNamespace(commands, slug, engine);
  await using undo = new AsyncDisposableStack();
  switch (await nameState(name)) {
    case "stale":
      // The name's file without a namespace behind it: left by a crash in the middle of `ip netns add`.
      await commands.run(["ip", "netns", "del", name]);
      break;
    case "namespace":
      await refuseForeign(namespace, slug, engine);
      break;
    case "absent":
      break;
  }
  if ((await nameState(name)) === "absent") {
    await commands.run(["ip", "netns", "add", name]);
    undo.defer(async () => {
      await commands.run(["ip", "netns", "del", name]);
    });
  }
  await namespace.run(["ip", "link", "set", "dev", "lo", "alias", engineTag(slug, engine)]);
  await disableIpv6(namespace);
  // Filters are compiled against `lo`, and the engine's own process may want it. It leads nowhere.
  await namespace.run(["ip", "link", "set", "dev", "lo", "up"]);
  await ensureSpanCounters(namespace);
  undo.move();
}

/**
 * Removes the name; the namespace itself goes with the last process in it. Spans must have been given back before:
 * a virtual device would be destroyed with the namespace. Idempotent; one that is not ours is left alone.
 */
export async function removeEngineNamespace(commands: Commands, slug: string, engine: string): Promise<void> {
  const name = engineNamespaceName(slug, engine);
  const state = await nameState(name);
  if (state === "absent") return;
  if (state === "namespace") await refuseForeign(engineNamespace(commands, slug, engine), slug, engine);
  await commands.run(["ip", "netns", "del", name]);
}

/** The installation's engines among the namespaces of a census. */
export function enginesOf(
  views: readonly NamespaceView[],
  slug: string,
): readonly { readonly engine: string; readonly view: NamespaceView }[] {
  return views.flatMap((view) => {
    const engine = parseEngineTag(slug, view.tag);
    return engine !== null && engineNamespaceName(slug, engine) === view.name ? [{ engine, view }] : [];
  });
}

/** Whether there is a namespace of the engine's name, and it is the installation's. */
export async function isEngine(commands: Commands, slug: string, engine: string): Promise<boolean> {
  if (!(await hasNamespace(slug, engine))) return false;
  const lo = await observeLink(engineNamespace(commands, slug, engine), "lo");
  return parseEngineTag(slug, lo?.ifalias) === engine;
}

/** Whether there is a namespace of the engine's name; whose it is, its tag says. */
export async function hasNamespace(slug: string, engine: string): Promise<boolean> {
  return (await nameState(engineNamespaceName(slug, engine))) === "namespace";
}

/** A namespace without any tag is taken over only if nothing in it is up: ours, interrupted before its tag. */
async function refuseForeign(namespace: NetworkNamespace, slug: string, engine: string): Promise<void> {
  const links = await observeLinks(namespace);
  const tag = links.find(({ ifname }) => ifname === "lo")?.ifalias;
  if (parseEngineTag(slug, tag) === engine) return;
  if (tag === undefined && !links.some((link) => hasFlags(link, "UP"))) return;
  throw new WardenError("datapath-namespace-foreign", `${namespace.path} was not made by this installation`, {
    fields: { path: namespace.path, tag: tag ?? null },
  });
}
