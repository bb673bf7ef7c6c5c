/**
 * Whose a kernel object is: decisions of removal. Pure.
 *
 * Invariant: a thing is ours only if it says so itself (an alias that warden wrote) or has a name that no other
 * installation, and nobody else, can have given it. In doubt it is not ours. Names that begin alike do not suffice:
 * `bulkhead-a-ids` may be instrument `ids` of installation `a`, or instrument `a-ids` of the default one.
 */

/** A device as `ip -json link` shows it. */
export interface OwnedDevice {
  readonly name: string;
  readonly alias: string | null;
}

/** What warden writes into an alias: the product, what it is, the slug of the installation, and more. */
export function aliasOwner(alias: string | null): { readonly kind: string; readonly slug: string } | null {
  const match =
    /^bulkhead (?<kind>engine|span|wire|segment|joined|port|egress) (?<slug>[a-z][a-z0-9-]*)(?: |$)/.exec(
      alias ?? "",
    );
  const { kind, slug } = match?.groups ?? {};
  return kind === undefined || slug === undefined ? null : { kind, slug };
}

/**
 * Whether a network namespace belongs to the installation of this slug. `loopbackAlias` is that of `lo` inside it.
 * The demo's namespaces have no alias; they are `<slug>-net-<host>`, and a host's name has no hyphen.
 */
export function ownsNamespace(slug: string, name: string, loopbackAlias: string | null): boolean {
  const owner = aliasOwner(loopbackAlias);
  if (owner !== null) return owner.slug === slug;
  return name.startsWith(`${slug}-net-`) && /^[a-z0-9]+$/.test(name.slice(`${slug}-net-`.length));
}

/** Whether a device says that it was made for, or taken by, the installation. */
export function ownsDevice(slug: string, device: OwnedDevice): boolean {
  return aliasOwner(device.alias)?.slug === slug;
}

/** What a span device was on the host, by its alias; null for every other device. */
export function spanOrigin(
  slug: string,
  device: OwnedDevice,
): { readonly device: string; readonly mtu: number; readonly gro: "on" | "off" } | null {
  const match =
    /^bulkhead span (?<slug>\S+) \S+ \S+ (?<device>[A-Za-z0-9][A-Za-z0-9_.-]{0,14}) (?<mtu>\d+) (?<gro>on|off)$/.exec(
      device.alias ?? "",
    )?.groups;
  if (match === undefined || match["slug"] !== slug) return null;
  const { device: name = "", mtu, gro } = match;
  return { device: name, mtu: Number(mtu), gro: gro === "on" ? "on" : "off" };
}

/** Whether a path is a directory or lies in it; `..` was resolved by whoever gave it. */
export function isUnder(directory: string, path: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** Mount points under any of the directories, deepest first. @see proc_pid_mountinfo(5) */
export function mountsUnder(directories: readonly string[], mountinfo: string): readonly string[] {
  return mountinfo
    .split("\n")
    .map((line) => unescapeMount(line.split(" ")[4] ?? ""))
    .filter((point) => directories.some((directory) => isUnder(directory, point)))
    .toReversed();
}

/** Blanks and the like are octal there: `\040`. */
function unescapeMount(text: string): string {
  return text.replaceAll(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}
