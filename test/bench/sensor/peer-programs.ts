/**
 * Peer programs: copiers of user space from the host's own apt mirror, verified by apt, unpacked aside.
 *
 * Invariants: nothing is installed on the host; what is there is a whole set, made aside and renamed. A host without
 * these packages, or without a way to them, is an expected outcome: then there is nothing to compare with.
 */
import { randomBytes } from "node:crypto";
import { access, chmod, mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { runCommand, TestkitError } from "@bulkhead/testkit";

const PACKAGES = ["daemonlogger", "tcpreplay", "tcpdump", "libdumbnet1", "libpcap0.8"] as const;
export const PEER_PROGRAMS_DIR = "/var/cache/bulkhead-dev/peer-programs";

export interface PeerPrograms {
  readonly daemonlogger: string;
  readonly tcpdump: string;
  readonly tcpreplay: string;
  /** For LD_LIBRARY_PATH. */
  readonly libraries: string;
}

export async function findPeerPrograms(
  directory = PEER_PROGRAMS_DIR,
): Promise<PeerPrograms | { readonly missing: string }> {
  try {
    if (!(await exists(directory))) await fetchInto(directory);
  } catch (error) {
    if (!(error instanceof TestkitError)) throw error;
    return { missing: error.message };
  }
  const usr = join(directory, "usr");
  const libraries = (await readdir(join(usr, "lib"))).find((name) => name.endsWith("-linux-gnu")) ?? "";
  return {
    daemonlogger: join(usr, "bin/daemonlogger"),
    tcpdump: join(usr, "bin/tcpdump"),
    tcpreplay: join(usr, "bin/tcpreplay"),
    libraries: join(usr, "lib", libraries),
  };
}

async function fetchInto(directory: string): Promise<void> {
  const fresh = `${directory}.${randomBytes(4).toString("hex")}`;
  const archives = join(fresh, "archives");
  await mkdir(archives, { recursive: true });
  // apt fetches as its own unprivileged user.
  await chmod(archives, 0o777);
  try {
    const fetching = ["--chdir", archives, "apt-get", "-qq", "download", ...PACKAGES];
    await runCommand("env", fetching, { timeoutMs: 120_000 });
    for (const archive of await readdir(archives)) {
      await runCommand("dpkg-deb", ["--extract", join(archives, archive), fresh]);
    }
    await rm(archives, { recursive: true });
    await rename(fresh, directory);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
