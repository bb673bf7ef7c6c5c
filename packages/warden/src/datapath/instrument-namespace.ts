/**
 * The network namespace of a running instrument, held open.
 *
 * Invariants: it is held by descriptor, so it stays the same namespace even if the process ends and its number is used
 * again; it is never the host's nor the engine's, into which a wire's end must not go.
 */
import { open, stat } from "node:fs/promises";
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { namespaceAt } from "./namespace.ts";
import type { NetworkNamespace } from "./namespace.ts";

/** A namespace that stays open until it is disposed of. */
export interface HeldNamespace extends NetworkNamespace, AsyncDisposable {
  /** Whether a process is in this namespace now. */
  isOf(pid: number): Promise<boolean>;
}

/**
 * Opens the namespace of a process.
 *
 * @param pid host pid of the container's init.
 * @param engine the engine's namespace, which must be another one.
 * @throws WardenError `datapath-instrument-gone`, `datapath-instrument-shares-network`
 */
export async function holdInstrumentNamespace(
  commands: Commands,
  pid: number,
  engine: NetworkNamespace,
): Promise<HeldNamespace> {
  await using undo = new AsyncDisposableStack();
  const handle = undo.use(await open(`/proc/${checkedPid(pid)}/ns/net`).catch(refuseGone(pid)));
  const { ino } = await handle.stat();
  for (const path of ["/proc/self/ns/net", engine.path ?? "/proc/self/ns/net"]) {
    await using other = await open(path);
    if ((await other.stat()).ino !== ino) continue;
    throw new WardenError("datapath-instrument-shares-network", `process ${pid} has no network of its own`, {
      fields: { pid, path },
    });
  }
  const held = undo.move();
  return {
    ...namespaceAt(commands, `/proc/${process.pid}/fd/${handle.fd}`),
    isOf: async (other) => (await stat(`/proc/${checkedPid(other)}/ns/net`).catch(() => null))?.ino === ino,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

/**
 * The same for a reader, who takes an instrument without a network of its own as one that is not there.
 *
 * @returns null in place of `datapath-instrument-gone` and `datapath-instrument-shares-network`
 */
export async function findInstrumentNamespace(
  commands: Commands,
  pid: number,
  engine: NetworkNamespace,
): Promise<HeldNamespace | null> {
  return holdInstrumentNamespace(commands, pid, engine).catch((error: unknown) => {
    if (isWardenError(error, "datapath-instrument-gone")) return null;
    if (isWardenError(error, "datapath-instrument-shares-network")) return null;
    throw error;
  });
}

function checkedPid(pid: number): number {
  if (Number.isSafeInteger(pid) && pid > 1) return pid;
  throw new WardenError("datapath-instrument-gone", `${pid} is no process of an instrument`, {
    fields: { pid },
  });
}

function refuseGone(pid: number): (error: NodeJS.ErrnoException) => never {
  return (cause) => {
    if (cause.code !== "ENOENT" && cause.code !== "ESRCH") throw cause;
    throw new WardenError("datapath-instrument-gone", `process ${pid} has ended`, { fields: { pid }, cause });
  };
}
