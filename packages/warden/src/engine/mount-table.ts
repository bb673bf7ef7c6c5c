/**
 * The small in-memory file systems of a container, as an fstab that the runtime mounts before its disk devices.
 *
 * Invariants: pure; each is nosuid, nodev and noexec, and its pages are charged to the container's memory limit.
 * As `lxc.mount.entry` lines they would be mounted after the disks and hide /run/bulkhead.
 */
import type { ContainmentLayer, InstrumentSpec } from "@bulkhead/schema";
import { INSTRUMENT_UID } from "./idmap-claims.ts";
import { EVERY_LAYER } from "./weakening.ts";

/** One tmpfs, by its path inside the container. */
export interface MemoryMount {
  readonly path: string;
  readonly sizeBytes: number;
  /** Octal; the owner is root of the container unless it says so. */
  readonly mode: string;
  readonly ownedByInstrument: boolean;
}

const KIB = 1024;
const MIB = 1024 * KIB;
/** What a canary without the limit may fill: its memory limit still holds. */
const WITHOUT_LIMIT = 1024 * MIB;

export function memoryMounts(spec: InstrumentSpec): readonly MemoryMount[] {
  // A quarter of the memory limit, so that a full /tmp alone cannot kill the instrument.
  const tmpBytes = Math.max(4 * MIB, Math.floor(spec.memoryBytes / 4 / MIB) * MIB);
  return [
    { path: "/run", sizeBytes: 8 * MIB, mode: "0755", ownedByInstrument: true },
    { path: "/tmp", sizeBytes: Math.min(tmpBytes, 64 * MIB), mode: "1777", ownedByInstrument: false },
    { path: "/dev/shm", sizeBytes: 8 * MIB, mode: "1777", ownedByInstrument: false },
    // Holds nothing but the mount points of volumes: the root is read-only, and images know no need's id.
    { path: "/data", sizeBytes: 64 * KIB, mode: "0755", ownedByInstrument: false },
  ];
}

/**
 * fstab(5) text; paths are relative to the root file system, as lxc.mount.fstab wants them.
 * @param without layers left out, for a canary alone
 */
export function renderMountTable(
  spec: InstrumentSpec,
  without: ReadonlySet<ContainmentLayer> = EVERY_LAYER,
): string {
  const flags = without.has("memory-mount-flags") ? "" : ",nosuid,nodev,noexec";
  return memoryMounts(spec)
    .map((mount) => {
      const owner = mount.ownedByInstrument ? `,uid=${INSTRUMENT_UID},gid=${INSTRUMENT_UID}` : "";
      // /dev is a fresh tmpfs by then, so that /dev/shm has to be made.
      const create = mount.path.startsWith("/dev/") ? "create=dir," : "";
      const limit = without.has("memory-mount-size") ? WITHOUT_LIMIT : mount.sizeBytes;
      const size = `size=${limit / KIB}k,mode=${mount.mode}${owner}`;
      return `tmpfs ${mount.path.slice(1)} tmpfs ${create}${size}${flags} 0 0\n`;
    })
    .join("");
}
