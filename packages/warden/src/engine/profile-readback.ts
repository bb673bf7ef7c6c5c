/**
 * Read-back of a running container: whether it is what its profile says, by the kernel's word. (By the runtime's word:
 * config-deviations.ts. Both are asked, because each can be wrong alone.)
 *
 * Invariants: an empty answer means contained. Right after a start the first process may still be on its way to its
 * last privileges: `settledDeviations` waits for that, and no longer.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { KernelView } from "./kernel-view.ts";
import { processDeviations } from "./process-deviations.ts";
import type { ContainerProfile } from "./profile.ts";

/** Long enough for an exec of setpriv and tini on a busy machine. */
const SETTLE_MS = 10_000;
const POLL_MS = 25;

/**
 * @param pid host pid of the container's first process
 * @returns deviations in plain words; null where the process is gone
 */
export async function kernelDeviations(
  profile: Pick<ContainerProfile, "kernel">,
  pid: number,
  kernel: KernelView,
): Promise<readonly string[] | null> {
  const { network } = profile.kernel;
  const netnsFile = network.kind === "joined" ? network.netnsFile : null;
  const view = await kernel.observeProcess(pid, netnsFile);
  return view === null ? null : processDeviations(profile.kernel, view);
}

/** The same as soon as there is no deviation, or once the time is over. */
export async function settledDeviations(
  profile: Pick<ContainerProfile, "kernel">,
  pid: number,
  kernel: KernelView,
  signal?: AbortSignal,
): Promise<readonly string[] | null> {
  const endMs = performance.now() + SETTLE_MS;
  for (;;) {
    const deviations = await kernelDeviations(profile, pid, kernel);
    if (deviations === null || deviations.length === 0 || performance.now() > endMs) return deviations;
    await delay(POLL_MS, undefined, signal ? { signal } : {});
  }
}
