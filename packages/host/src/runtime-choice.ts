/**
 * Which container runtime an installation uses. Pure.
 *
 * Order: what was asked for; else what the installation has used so far; else what answers; else what is installed;
 * else what the distribution offers. LXD goes before Incus where all is equal.
 */
export type RuntimeKind = "lxd" | "incus";

/** In the order in which they are chosen where all is equal. */
export const RUNTIME_KINDS: readonly RuntimeKind[] = ["lxd", "incus"];

/** Where the daemons listen: the distribution's packages first, then LXD's snap. */
export const RUNTIME_SOCKETS: Readonly<Record<RuntimeKind, readonly string[]>> = {
  lxd: ["/var/lib/lxd/unix.socket", "/var/snap/lxd/common/lxd/unix.socket"],
  incus: ["/var/lib/incus/unix.socket", "/run/incus/unix.socket"],
};

/** Packages that bring the daemon, without the parts for virtual machines. */
export const RUNTIME_PACKAGES: Readonly<Record<RuntimeKind, readonly string[]>> = {
  lxd: ["lxd", "lxd-client"],
  incus: ["incus-base", "incus-client"],
};

export interface RuntimeFacts {
  /** Sockets on which a daemon answered. */
  readonly answering: Readonly<Partial<Record<RuntimeKind, string>>>;
  readonly installed: readonly RuntimeKind[];
  /** Offered by the host's package lists. */
  readonly available: readonly RuntimeKind[];
}

export interface RuntimeChoice {
  readonly kind: RuntimeKind;
  readonly socket: string;
  /** `answers`: leave the daemon alone; `start`: it is installed; `install`: it has to be. */
  readonly action: "answers" | "start" | "install";
}

/** @returns undefined if there is none to be had */
export function chooseRuntime(
  facts: RuntimeFacts,
  wanted: RuntimeKind | undefined,
  former: RuntimeKind | undefined,
): RuntimeChoice | undefined {
  const kinds: readonly RuntimeKind[] =
    wanted !== undefined ? [wanted] : former !== undefined ? [former] : RUNTIME_KINDS;
  const choice = (kind: RuntimeKind, action: RuntimeChoice["action"]): RuntimeChoice => {
    const [usual = ""] = RUNTIME_SOCKETS[kind];
    return { kind, socket: facts.answering[kind] ?? usual, action };
  };
  const answering = kinds.find((kind) => facts.answering[kind] !== undefined);
  if (answering !== undefined) return choice(answering, "answers");
  const installed = kinds.find((kind) => facts.installed.includes(kind));
  if (installed !== undefined) return choice(installed, "start");
  const available = kinds.find((kind) => facts.available.includes(kind));
  return available === undefined ? undefined : choice(available, "install");
}
