/**
 * Where the parts of one container lie on the host.
 *
 * Invariants: pure; all paths are absolute and derive from the installation's layout and validated names.
 */
import { join } from "node:path";
import { type InstallationLayout, type InstrumentSpec, Name } from "@bulkhead/schema";

export interface ProfilePaths {
  /** Storage pool of the runtime that holds the root file system. */
  readonly pool: string;
  /** Shared Node, seen at /opt/node. */
  readonly nodeDir: string;
  /** Holds bus.sock and ui.sock; seen at /run/bulkhead. */
  readonly socketsDir: string;
  /** Holds egress.sock; seen at EGRESS_PATH. Only where the site grants egress. */
  readonly egressDir?: string;
  /** Seen at /inbox. */
  readonly inboxDir: string;
  /** Seen at RESOURCES_PATH; only where the manifest declares that it takes resources. */
  readonly resourcesDir?: string;
  /** The mount table that `fstab` must be written to before the start. */
  readonly mountTableFile: string;
  /** The namespace of warden's that it joins, where its network is of that kind. */
  readonly netnsFile: string;
  /** By volume id: the directory seen at /data/<id>. */
  readonly volumeDirs: Readonly<Record<string, string>>;
  /** Seen read-only at ADVERSARY_PATH; in a canary alone. */
  readonly adversaryDir?: string;
}

/** Where an instrument sees what others published for it. */
export const RESOURCES_PATH = "/resources";

/** Where a canary sees the program that tries to get out. */
export const ADVERSARY_PATH = "/run/adversary";

/** @param volumeDir where a volume's data directory is, by its id */
export function profilePaths(
  layout: InstallationLayout,
  spec: InstrumentSpec,
  volumeDir: (id: string) => string,
): ProfilePaths {
  return {
    pool: layout.slug,
    nodeDir: layout.nodeDir,
    socketsDir: join(layout.socketsDir, spec.name),
    ...(spec.egress ? { egressDir: join(layout.egressDir, "sockets", spec.name) } : {}),
    inboxDir: join(layout.inboxDir, spec.name),
    ...(spec.resources ? { resourcesDir: join(layout.resourcesDir, spec.name) } : {}),
    mountTableFile: mountTableFile(layout, spec.name),
    netnsFile: `/run/netns/${layout.slug}-${spec.name}`,
    volumeDirs: Object.fromEntries(spec.volumes.map(({ id }) => [id, volumeDir(id)])),
  };
}

/** Where the proxy's directory is seen; `/run/bulkhead/egress.sock` leads into it. */
export const EGRESS_PATH = "/run/bulkhead/egress";

/** Below libDir, which others may pass through: the runtime reads it as the container's root, an unprivileged user. */
export function mountTableFile(layout: InstallationLayout, instrument: string): string {
  return join(layout.libDir, "mount-tables", Name.parse(instrument));
}
