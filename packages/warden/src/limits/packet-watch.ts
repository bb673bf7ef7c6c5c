/**
 * Packet watch: looks every second at the packet sockets of each instrument that may have any, and calls out the one
 * that has more than its allowance.
 *
 * Invariants: it looks from outside (the kernel's table of the instrument's namespace, and socket diagnostics in it)
 * and executes nothing of the instrument's. The table costs one read of a file; diagnostics, which alone tell the size
 * of rings, are asked when the set of sockets changed and for three looks more, when the host's memory runs short or
 * cannot be told, and every ten seconds. What cannot be looked at ends nothing, and is said once.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import type { Commands } from "../commands.ts";
import { packetExcess, parsePacketTable, parsePacketUse, type PacketUse } from "./packet-sockets.ts";

/** One instrument, or canary, that holds NET_RAW and runs. */
export interface PacketUser {
  readonly instrument: string;
  /** Host pid of its first process. */
  readonly pid: number;
  readonly allowed: PacketUse;
}

export interface PacketWatchOptions {
  readonly commands: Commands;
  readonly users: () => readonly PacketUser[];
  /** Has it stopped; called once for each finding. */
  readonly onExcess: (instrument: string, finding: string) => Promise<void>;
  /** Told of what could not be looked at, an instrument or the `host`; again only once it could be meanwhile. */
  readonly onTrouble: (subject: string, error: unknown) => void;
  /** Reads a file of /proc. */
  readonly read?: (path: string) => Promise<string>;
  readonly everyMs?: number;
}

interface Seen {
  readonly pid: number;
  readonly sockets: string;
  readonly diagnosedMs: number;
  /** Diagnoses since the set of sockets changed: a ring is made a moment after its socket. */
  readonly diagnoses: number;
}

const EVERY_MS = 1_000;
const DIAGNOSE_EVERY_MS = 10_000;
/** Of the host's memory: with less available, rings are looked at each time. */
const SCARCE = 0.1;
const DIAGNOSES_AFTER_CHANGE = 3;

export class PacketWatch {
  readonly #options: PacketWatchOptions;
  readonly #read: (path: string) => Promise<string>;
  readonly #troubled = new Set<string>();
  #seen = new Map<string, Seen>();

  constructor(options: PacketWatchOptions) {
    this.#options = options;
    this.#read = options.read ?? ((path) => readFile(path, "utf8"));
  }

  /** Looks until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look();
      await pause(this.#options.everyMs ?? EVERY_MS, signal);
    }
  }

  /** Never throws. */
  async look(): Promise<void> {
    const users = this.#options.users();
    if (users.length === 0) return this.#seen.clear();
    // Where nobody can tell, it is taken to be short: rings are then looked at each time.
    const scarce = (await this.#tried("host", () => this.#isMemoryScarce())) ?? true;
    const former = this.#seen;
    this.#seen = new Map();
    for (const user of users) {
      await this.#tried(user.instrument, () => this.#lookAt(user, former.get(user.instrument), scarce));
    }
  }

  /** Null where it failed. */
  async #tried<T>(subject: string, act: () => Promise<T>): Promise<T | null> {
    try {
      const done = await act();
      this.#troubled.delete(subject);
      return done;
    } catch (error) {
      if (!this.#troubled.has(subject)) this.#options.onTrouble(subject, error);
      this.#troubled.add(subject);
      return null;
    }
  }

  async #lookAt(user: PacketUser, former: Seen | undefined, scarce: boolean): Promise<void> {
    const { instrument, pid, allowed } = user;
    const inodes = parsePacketTable(await this.#readTable(pid));
    const tooMany = packetExcess({ sockets: inodes.length, memoryBytes: 0 }, allowed);
    if (tooMany !== null) return this.#options.onExcess(instrument, tooMany);
    const nowMs = performance.now();
    const sockets = inodes.toSorted().join();
    const known = former?.pid === pid && former.sockets === sockets ? former : null;
    if (inodes.length === 0 || (known !== null && !scarce && isRecent(known, nowMs))) {
      const rest = { pid, sockets, diagnosedMs: nowMs, diagnoses: 0 };
      this.#seen.set(instrument, known ?? rest);
      return;
    }
    const use = await this.#diagnose(pid);
    const excess = use === null ? null : packetExcess(use, allowed);
    if (excess !== null) return this.#options.onExcess(instrument, excess);
    const diagnoses = (known?.diagnoses ?? 0) + 1;
    this.#seen.set(instrument, { pid, sockets, diagnosedMs: nowMs, diagnoses });
  }

  /** Null where the instrument ended meanwhile. @throws WardenError of Commands.run */
  async #diagnose(pid: number): Promise<PacketUse | null> {
    const argv = ["nsenter", `--net=/proc/${pid}/ns/net`, "--", "ss", "-0", "-e", "-m", "-n", "-H", "-O"];
    try {
      return parsePacketUse((await this.#options.commands.run(argv)).stdout);
    } catch (error) {
      if ((await this.#readTable(pid)) === "") return null;
      throw error;
    }
  }

  /** Empty where the process has ended. */
  async #readTable(pid: number): Promise<string> {
    try {
      return await this.#read(`/proc/${pid}/net/packet`);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      // EINVAL: the process is there, and its namespace is gone already.
      if (code === "ENOENT" || code === "ESRCH" || code === "EINVAL") return "";
      throw error;
    }
  }

  /** @throws TypeError for what is no such table */
  async #isMemoryScarce(): Promise<boolean> {
    const text = await this.#read("/proc/meminfo");
    const kib = (name: string): number => {
      const value = new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1];
      if (value === undefined) throw new TypeError(`/proc/meminfo has no ${name}`);
      return Number(value);
    };
    return kib("MemAvailable") < SCARCE * kib("MemTotal");
  }
}

function isRecent({ diagnosedMs, diagnoses }: Seen, nowMs: number): boolean {
  return diagnoses >= DIAGNOSES_AFTER_CHANGE && nowMs - diagnosedMs < DIAGNOSE_EVERY_MS;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal });
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
