/**
 * Limits of each process in a container (prlimit(2)), the same for every instrument: set through the runtime's
 * `limits.kernel.*` keys, and read back from /proc/PID/limits.
 */
export const RESOURCE_LIMITS = {
  /** A core would hold what the instrument saw, and go where the host's core_pattern says. */
  core: 0,
  /** Bytes. */
  memlock: 65_536,
  /** Bytes of POSIX message queues: none. */
  msgqueue: 0,
  /** Suricata with a hundred rule files and logs uses some dozens. */
  nofile: 4096,
  /** No process is ever scheduled before others in real time. */
  rtprio: 0,
  /** Queued signals of the instrument's user: kernel memory. */
  sigpending: 1024,
} as const;

/** Keys of the runtime's config. */
export function renderResourceLimits(): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(RESOURCE_LIMITS).map(([name, value]) => [`limits.kernel.${name}`, String(value)]),
  );
}
