/**
 * Birth times: when the oldest file of a directory was made, read by a program that runs as the
 * directory's own unprivileged owner, so that links and races inside lead it nowhere.
 *
 * Births are set by the kernel and cannot be set back, as modification times can (statx(2)). Only
 * numbers that stat(1) printed are read here, never a name; what is looked at is bounded. A file that
 * was copied is young: it shows what lies there, and proves no good will.
 */
import { spawn } from "node:child_process";
import { stat } from "node:fs/promises";
import { createInterface } from "node:readline";
import { IDMAP_FIRST_BASE } from "../engine/idmap-claims.ts";
import { WardenError } from "../error.ts";

const MOST_FILES = 500_000;
const DEADLINE_MS = 20_000;
/**
 * `%W`: seconds since 1970; 0 where the file system keeps none. find's own `%B` is -1 where its library does not ask
 * for births. From the file's own directory, so that no directory on the way can be exchanged for a link.
 */
const STAT = ["-execdir", "/usr/bin/stat", "--printf", "%.3W\\n", "--", "{}", "+"];
const BIRTH = /^[1-9]\d{0,11}\.\d{3}$/;

export interface Births {
  readonly oldest: string | null;
  readonly files: number;
  /** False: there were more, or it took too long. */
  readonly complete: boolean;
}

/** @throws WardenError `volume-not-read` where it is not an instrument's, or the reader fails */
export async function readBirthTimes(dir: string): Promise<Births> {
  const { uid, gid } = await stat(dir);
  if (uid < IDMAP_FIRST_BASE || gid < IDMAP_FIRST_BASE) {
    throw new WardenError("volume-not-read", "the volume does not belong to an instrument's user", {
      fields: { dir, uid, gid },
    });
  }
  const identity = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups"];
  const powers = ["--inh-caps=-all", "--ambient-caps=-all", "--bounding-set=-all", "--no-new-privs"];
  const find = ["/usr/bin/find", "-P", ".", "-xdev", "-type", "f", ...STAT];
  const child = spawn("/usr/bin/nice", ["-n", "19", "setpriv", ...identity, ...powers, "--", ...find], {
    // Entered as root: the way to it is closed to its owner.
    cwd: dir,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "ignore"],
    timeout: DEADLINE_MS,
    killSignal: "SIGKILL",
  });
  const ended = Promise.withResolvers<number | null>();
  ended.promise.catch(() => undefined); // it is awaited below
  child.once("error", (cause) =>
    ended.reject(
      new WardenError("volume-not-read", "its files cannot be looked at", { fields: { dir }, cause }),
    ),
  );
  child.once("close", (code) => ended.resolve(code));
  let files = 0;
  let oldestS = Infinity;
  for await (const line of createInterface({ input: child.stdout, crlfDelay: Infinity })) {
    if (!BIRTH.test(line)) continue;
    files += 1;
    oldestS = Math.min(oldestS, Number(line));
    if (files < MOST_FILES) continue;
    child.kill("SIGKILL");
    break;
  }
  // 0: all was seen; 1: some directory was closed to its own owner, or changed meanwhile.
  const complete = (await ended.promise) === 0;
  return { files, complete, oldest: files === 0 ? null : new Date(oldestS * 1000).toISOString() };
}
