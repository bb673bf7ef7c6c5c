/**
 * The proxy's process: started in the egress namespace as its own user, kept running with back-off, ended when it is
 * not wanted; and it ends with warden.
 *
 * Invariants: no capability, no new privileges, no environment; a root of its own (bubblewrap) that holds the system's
 * libraries, Node, the program, its policy, the directories of its sockets and the one socket of its records, and
 * nothing else of the host; bounded memory and files. A killed warden takes it along, and the next one starts it anew.
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { InstallationLayout } from "@bulkhead/schema";
import { egressNamespaceFile } from "./egress-namespace.ts";

export interface EgressUser {
  readonly uid: number;
  readonly gid: number;
}

/** After its end; doubled with each end that follows soon, up to the longest. */
const RESTART = { firstMs: 200, longestMs: 10_000, settledMs: 30_000 } as const;
const HEAP_MIB = 96;
/** Private writable memory (RLIMIT_DATA); V8 reserves some 550 MB of it for code and uses little of that. */
const DATA_BYTES = 768 * 2 ** 20;
const OPEN_FILES = 4_096;

export class EgressProcess {
  readonly #argv: readonly string[];
  #child: ChildProcess | null = null;
  #timer: NodeJS.Timeout | null = null;
  #wanted = false;
  #failures = 0;

  constructor(layout: InstallationLayout, user: EgressUser) {
    this.#argv = egressArgv(layout, user);
  }

  get wanted(): boolean {
    return this.#wanted;
  }

  /** Starts it unless it runs, and keeps it. */
  keep(): void {
    this.#wanted = true;
    if (this.#child === null && this.#timer === null) this.#start();
  }

  /** Ends it, and waits for its end. */
  async end(): Promise<void> {
    this.#wanted = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const child = this.#child;
    if (child === null) return;
    const ended = new Promise<void>((resolve) => {
      child.once("exit", () => resolve());
      child.once("error", () => resolve());
    });
    child.kill("SIGKILL");
    await ended;
  }

  #start(): void {
    const [file = "", ...args] = this.#argv;
    const beganMs = performance.now();
    const child = spawn(file, args, {
      cwd: "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
      // What it says goes where warden's own lines go, unread.
      stdio: ["ignore", "ignore", "inherit"],
    });
    this.#child = child;
    const ended = (): void => {
      if (this.#child !== child) return;
      this.#child = null;
      if (!this.#wanted) return;
      this.#failures = performance.now() - beganMs > RESTART.settledMs ? 0 : this.#failures + 1;
      const pauseMs = Math.min(RESTART.longestMs, RESTART.firstMs * 2 ** Math.min(this.#failures, 10));
      this.#timer = setTimeout(() => {
        this.#timer = null;
        this.#start();
      }, pauseMs);
    };
    child.on("error", ended);
    child.on("exit", ended);
  }
}

/** Outermost first: limits, the namespace, the root of its own, the user, the program. */
export function egressArgv(layout: InstallationLayout, { uid, gid }: EgressUser): readonly string[] {
  const readOnly = (source: string, target: string) => ["--ro-bind", source, target];
  return [
    ...["prlimit", "--core=0", `--nofile=${OPEN_FILES}`, `--data=${DATA_BYTES}`, "--nproc=64", "--"],
    ...["nsenter", `--net=${egressNamespaceFile(layout.slug)}`, "--"],
    // The first process of a process namespace takes all others along; a death signal across users would not arrive.
    ...["bwrap", "--unshare-pid", "--die-with-parent", "--clearenv", "--setenv", "LC_ALL", "C"],
    ...readOnly("/usr", "/usr"),
    ...["--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"],
    ...["--perms", "0755", "--dir", "/program"],
    ...readOnly(`${layout.nodeDir}/bin/node`, "/program/node"),
    ...readOnly(`${layout.optDir}/egress.mjs`, "/program/egress.mjs"),
    ...readOnly(layout.egressDir, "/egress"),
    // The one place that it writes to: its sockets.
    ...["--bind", `${layout.egressDir}/sockets`, "/egress/sockets"],
    ...readOnly(layout.recordDir, "/record"),
    ...["--dev", "/dev", "--remount-ro", "/", "--chdir", "/", "--"],
    ...["/usr/bin/setpriv", `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"],
    ...[
      "--inh-caps=-all",
      "--ambient-caps=-all",
      "--bounding-set=-all",
      "--no-new-privs",
      "--pdeathsig=KILL",
      "--",
    ],
    ...[
      "/program/node",
      `--max-old-space-size=${HEAP_MIB}`,
      "--max-semi-space-size=1",
      "/program/egress.mjs",
    ],
    ...[
      "--policy",
      "/egress/policy.json",
      "--sockets",
      "/egress/sockets",
      "--records",
      "/record/egress.sock",
    ],
  ];
}
