/**
 * Mounts of a running container against what the profile says, from two mount tables that the kernel wrote: the
 * container's and the host's.
 *
 * Invariants: pure; every mount is expected by name, or lies where the runtime's own mounts lie, or is a deviation.
 * That a bind mount shows the right directory is decided by file system and directory in it, not by names.
 */
import type { ExpectedMount, KernelExpectation } from "./kernel-expectation.ts";
import { isBelow, type Mount, mountOf, parseMountinfo } from "./mountinfo.ts";

/** @returns deviations in plain words; empty where there are none */
export function mountDeviations(
  expected: Pick<KernelExpectation, "mounts" | "runtimeMounts" | "forbiddenMounts">,
  containerText: string,
  hostText: string,
): readonly string[] {
  const parsed = parseMountinfo(containerText);
  const mounts = parsed.filter((mount) => mount !== null);
  const host = parseMountinfo(hostText);
  const deviations: string[] = [];
  if (mounts.length < parsed.length) deviations.push("the mount table has lines that cannot be read");
  for (const one of expected.mounts) {
    const [first, second] = mounts.filter((mount) => mount.path === one.path);
    if (first === undefined) deviations.push(`${one.path} is not mounted`);
    else if (second !== undefined) deviations.push(`${one.path} is mounted over`);
    else deviations.push(...mountFaults(one, first, host));
  }
  const known = new Set(expected.mounts.map((mount) => mount.path));
  for (const { path } of mounts) {
    if (known.has(path)) continue;
    if (expected.forbiddenMounts.some((dir) => isBelow(path, dir))) {
      deviations.push(`${path} must not be there`);
    } else if (!expected.runtimeMounts.some((dir) => isBelow(path, dir))) {
      deviations.push(`${path} is mounted, but not in the profile`);
    }
  }
  return deviations;
}

function mountFaults(
  expected: ExpectedMount,
  mount: Mount,
  host: readonly (Mount | null)[],
): readonly string[] {
  const lacks = (...options: readonly string[]) =>
    options.filter((option) => !mount.options.has(option)).map((o) => `${mount.path} is not ${o}`);
  switch (expected.kind) {
    case "root":
      return lacks("ro");
    case "memory":
      return [
        ...(mount.type === "tmpfs" ? [] : [`${mount.path} is ${mount.type}, not tmpfs`]),
        ...lacks("nosuid", "nodev", "noexec"),
        ...sizeFault(mount, expected.sizeBytes),
      ];
    case "read-only":
      return [...lacks("ro"), ...sourceFault(mount, expected.source, host)];
    case "volume":
      return [...lacks("nosuid", "nodev"), ...sourceFault(mount, expected.source, host)];
  }
}

/** tmpfs prints `size=8192k` (mm/shmem.c, shmem_show_options), and leaves it out where it is unlimited. */
function sizeFault(mount: Mount, sizeBytes: number): readonly string[] {
  return mount.superOptions.has(`size=${sizeBytes / 1024}k`)
    ? []
    : [`${mount.path} is not limited to ${sizeBytes / 1024} KiB`];
}

function sourceFault(mount: Mount, source: string, host: readonly (Mount | null)[]): readonly string[] {
  const below = mountOf(source, host);
  if (below === null) return [`${source} is on no file system of the host`];
  const rest = source.slice(below.path === "/" ? 0 : below.path.length);
  const root = below.root === "/" ? rest : below.root + rest;
  if (mount.device === below.device && mount.root === (root === "" ? "/" : root)) return [];
  return [`${mount.path} shows ${mount.root} of ${mount.device}, not ${source}`];
}
