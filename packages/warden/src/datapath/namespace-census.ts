/**
 * Census: what is in those named network namespaces of this host that may be an installation's, this one's or another.
 *
 * Invariants: one reading is of one moment and has each namespace once; a namespace that carries nobody's mark of
 * Bulkhead for a minute is somebody else's and is then looked at seldom, since looking costs a program for each.
 * Nothing is decided by what a census leaves out: whoever makes or takes something looks again by himself.
 */
import { stat } from "node:fs/promises";
import type { Commands } from "../commands.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { listNames, nameState, namespaceDirectory } from "./named-namespaces.ts";
import { type Device, namespaceAt, type NetworkNamespace, observeDevices } from "./namespace.ts";

/** A namespace with a name, and what is in it. */
export interface NamespaceView {
  readonly name: string;
  readonly namespace: NetworkNamespace;
  readonly devices: readonly Device[];
  /** Alias of `lo`: whose it is. */
  readonly tag: string | undefined;
}

/** Installations mark a namespace within moments of making it; a set-up that takes so long has failed. */
const STRANGER_AFTER_MS = 60_000;
const LOOK_AGAIN_MS = 600_000;

interface Stranger {
  /** Which namespace had the name: see `identityOf`. */
  readonly identity: string;
  readonly firstSeenMs: number;
  readonly lastSeenMs: number;
}

export class NamespaceCensus {
  readonly #commands: Commands;
  readonly #nowMs: () => number;
  #strangers: ReadonlyMap<string, Stranger> = new Map();
  #running: Promise<readonly NamespaceView[]> | null = null;

  /** @param nowMs milliseconds of a clock that does not jump */
  constructor(commands: Commands, nowMs: () => number = () => performance.now()) {
    this.#commands = commands;
    this.#nowMs = nowMs;
  }

  /** What is there now. Calls at the same time share one reading. */
  take(): Promise<readonly NamespaceView[]> {
    this.#running ??= this.#take().finally(() => {
      this.#running = null;
    });
    return this.#running;
  }

  async #take(): Promise<readonly NamespaceView[]> {
    const views: NamespaceView[] = [];
    const strangers = new Map<string, Stranger>();
    for (const name of await listNames()) {
      const identity = await identityOf(name);
      if (identity === null) continue;
      const former = this.#strangers.get(name);
      const known = former?.identity === identity ? former : null;
      const nowMs = this.#nowMs();
      if (known !== null && isToBeLeft(known, nowMs)) {
        strangers.set(name, known);
        continue;
      }
      const view = await this.#view(name);
      if (view === null) continue;
      if (isMarked(view)) views.push(view);
      else strangers.set(name, { identity, firstSeenMs: known?.firstSeenMs ?? nowMs, lastSeenMs: nowMs });
    }
    this.#strangers = strangers;
    return views;
  }

  async #view(name: string): Promise<NamespaceView | null> {
    const namespace = namespaceAt(this.#commands, `${namespaceDirectory}/${name}`);
    try {
      const devices = await observeDevices(namespace);
      const tag = devices.find(({ ifname }) => ifname === "lo")?.ifalias;
      return { name, namespace, devices, tag };
    } catch (error) {
      // Others' namespaces come and go.
      if ((await nameState(name)) === "namespace") throw error;
      return null;
    }
  }
}

function isToBeLeft({ firstSeenMs, lastSeenMs }: Stranger, nowMs: number): boolean {
  return lastSeenMs - firstSeenMs >= STRANGER_AFTER_MS && nowMs - lastSeenMs < LOOK_AGAIN_MS;
}

/** Everything that any installation makes or takes says so in its alias. */
function isMarked({ devices }: NamespaceView): boolean {
  return devices.some(({ ifalias }) => ifalias?.startsWith("bulkhead ") === true);
}

/**
 * The kernel gives a dead namespace's number to the next one, but makes a new inode of it (fs/nsfs.c), with times of
 * its own. Null where the name stands for no namespace.
 */
async function identityOf(name: string): Promise<string | null> {
  if ((await nameState(name)) !== "namespace") return null;
  const found = await stat(`${namespaceDirectory}/${name}`, { bigint: true }).catch(nullIfMissing);
  return found === null ? null : `${found.dev}:${found.ino}:${found.ctimeNs}`;
}
