/**
 * What a container needs on the host before it starts, besides its volumes: its mount table, the directory of its
 * sockets and its inbox.
 *
 * Invariants: the sockets' directory is made once and never replaced, because a container keeps looking at the one
 * that it was started with; it is the platform user's, and nobody else writes there. Sockets are made by sensord.
 */
import { chmod, chown, mkdir, rm, stat, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { InstallationLayout, Settings } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { mountTableFile, type ProfilePaths } from "./profile-paths.ts";
import type { ContainerProfile } from "./profile.ts";

/** @throws WardenError `instrument-netns-missing` for an engine whose namespace warden has not made yet */
export async function preparePlaces(
  profile: ContainerProfile,
  paths: ProfilePaths,
  platform: Pick<Settings, "uid" | "gid">,
): Promise<void> {
  const { network } = profile.kernel;
  if (network.kind === "joined" && (await stat(network.netnsFile).catch(nullIfMissing)) === null) {
    throw new WardenError(
      "instrument-netns-missing",
      `${profile.instrument}: its network namespace ${network.netnsFile} is not there`,
      { fields: { instrument: profile.instrument, netnsFile: network.netnsFile } },
    );
  }
  await mkdir(dirname(paths.mountTableFile), { recursive: true, mode: 0o711 });
  await writeFileAtomically(paths.mountTableFile, profile.mountTable, 0o644);
  await mkdir(dirname(paths.socketsDir), { recursive: true, mode: 0o755 });
  await mkdir(paths.socketsDir, { recursive: true });
  await chown(paths.socketsDir, platform.uid, platform.gid);
  await chmod(paths.socketsDir, 0o755);
  await prepareEgress(paths);
}

/**
 * The mount point of the proxy's directory, in the sockets' directory that the container sees read-only, and the name
 * by which an instrument finds the socket. What sensord may have put there instead is not followed: making a
 * directory does not, and the runtime refuses to mount onto a link.
 */
async function prepareEgress({ socketsDir, egressDir }: ProfilePaths): Promise<void> {
  if (egressDir === undefined) return;
  await mkdir(egressDir, { recursive: true, mode: 0o755 });
  await mkdir(join(socketsDir, "egress"), { recursive: true });
  await symlink("egress/egress.sock", join(socketsDir, "egress.sock")).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
}

/** The mount table alone: the sockets' directory and the inbox outlive a container that is made anew. */
export async function removePlaces(layout: InstallationLayout, instrument: string): Promise<void> {
  await rm(mountTableFile(layout, instrument), { force: true });
}
