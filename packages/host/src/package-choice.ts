/**
 * Which Debian packages the platform needs on a host. Pure.
 *
 * Everything that is executed at run time is named, essential packages included, so that a trimmed host is noticed.
 */
import { RUNTIME_PACKAGES, type RuntimeKind } from "./runtime-choice.ts";

const BASE_PACKAGES = [
  // Datapath: ip, tc, ss; the compiler of filters; offloads; guards.
  "iproute2",
  "tcpdump",
  "ethtool",
  "nftables",
  // Addresses of segments by DHCP: the unprivileged client; the reporter of its leases is an awk script.
  "udhcpc",
  "mawk",
  // Volumes: mkfs.ext4, losetup, mount; setpriv, nsenter and flock.
  "e2fsprogs",
  // Volumes' keys, into and out of the kernel.
  "xfsprogs",
  "mount",
  "util-linux",
  // Accounts and removal.
  "passwd",
  "procps",
  // The egress proxy's own root.
  "bubblewrap",
  // Image building: roots from the host's own mirrors, checked by apt; symbols stripped; archives packed.
  "mmdebstrap",
  "debian-archive-keyring",
  "ca-certificates",
  "binutils",
  "zstd",
  "xz-utils",
] as const;

/**
 * Packages that must be there. `installRuntime`: null where a daemon is installed or answers already.
 */
export function neededPackages(options: {
  readonly supervisor: "systemd" | "s6";
  readonly installRuntime: RuntimeKind | null;
}): readonly string[] {
  return [
    ...BASE_PACKAGES,
    ...(options.supervisor === "s6" ? ["s6"] : []),
    ...(options.installRuntime === null ? [] : RUNTIME_PACKAGES[options.installRuntime]),
  ];
}

/** Names that `dpkg-query -W -f '${Package} ${db:Status-Status}\n'` calls installed. */
export function parseInstalled(text: string): readonly string[] {
  return text
    .split("\n")
    .map((line) => line.trim().split(" "))
    .filter(([, status]) => status === "installed")
    .map(([name = ""]) => name);
}

/** Names that an `apt-get --simulate` would take away. */
export function parseRemovals(text: string): readonly string[] {
  return text
    .split("\n")
    .filter((line) => line.startsWith("Remv ") || line.startsWith("Purg "))
    .map((line) => line.split(" ")[1] ?? "");
}
