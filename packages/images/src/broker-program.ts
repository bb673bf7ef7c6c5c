/**
 * The nats-server program: from the host's own suite where that is new enough, else from a newer
 * suite of the same mirror; unpacked (never installed) into a root-owned directory.
 *
 * Below 2.10.27 the broker lacks what the bus's permissions rest on. No package script runs.
 */
import { chmod, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { onlyDeb, openAptSource, parseCandidate } from "./apt-source.ts";
import { runCommand, type OnProgress, type RunCommand } from "./command.ts";
import { ImageFault } from "./image-fault.ts";
import { findDebianMirror } from "./mirrors.ts";
import { makeReadableDirectory } from "./readable-directory.ts";

export const BROKER_MINIMUM = "2.10.27";
const PACKAGE = "nats-server";
const NEWER_SUITE = "trixie";

export interface BrokerOptions {
  /** The program is put here as `nats-server`. */
  readonly binDir: string;
  readonly cacheDir: string;
  readonly run?: RunCommand;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BrokerProgram {
  readonly file: string;
  readonly version: string;
  readonly state: "built" | "present";
}

/** @throws ImageFault image-version-too-old, image-package-missing, image-mirror-unknown */
export async function ensureBroker(options: BrokerOptions): Promise<BrokerProgram> {
  const { binDir, cacheDir, signal, onProgress, run = runCommand } = options;
  const file = join(binDir, PACKAGE);
  const present = await versionOf(file, run);
  if (present !== null && isAtLeast(present, BROKER_MINIMUM)) {
    return { file, version: present, state: "present" };
  }
  await makeReadableDirectory(binDir);
  await using stack = new AsyncDisposableStack();
  const work = await mkdtemp(join(binDir, ".new-"));
  stack.defer(() => rm(work, { recursive: true, force: true }));
  const deb = (await downloadFromHost(work, run, options)) ?? (await downloadNewer(cacheDir, options));
  onProgress?.(`unpacking ${PACKAGE}`);
  const tree = join(work, "tree");
  await run("dpkg-deb", ["-x", deb, tree], { signal });
  const unpacked = join(tree, "usr/sbin", PACKAGE);
  const version = await versionOf(unpacked, run);
  if (version === null || !isAtLeast(version, BROKER_MINIMUM)) {
    throw new ImageFault("image-version-too-old", `${PACKAGE} is ${version ?? "not in its package"}`, {
      accepted: `${BROKER_MINIMUM} or newer`,
    });
  }
  await chmod(unpacked, 0o755);
  await rename(unpacked, file);
  return { file, version, state: "built" };
}

/** Whether a dotted version is at least another; `2.10.27-1+b2` counts as 2.10.27. */
export function isAtLeast(version: string, minimum: string): boolean {
  const numbers = (text: string): number[] => (/^[0-9.]+/.exec(text)?.[0] ?? "0").split(".").map(Number);
  const have = numbers(version);
  for (const [at, want] of numbers(minimum).entries()) {
    const here = have[at] ?? 0;
    if (here !== want) return here > want;
  }
  return true;
}

async function versionOf(file: string, run: RunCommand): Promise<string | null> {
  const isThere = await stat(file).then(
    (found) => found.isFile(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
  if (!isThere) return null;
  const said = (await run(file, ["--version"])).toString("utf8");
  return /v?(\d+\.\d+\.\d+)/.exec(said)?.[1] ?? null;
}

/** With the host's own sources and lists as they are; null where its suite has none that is new enough. */
async function downloadFromHost(
  dir: string,
  run: RunCommand,
  { signal, onProgress }: BrokerOptions,
): Promise<string | null> {
  const policy = (await run("apt-cache", ["policy", PACKAGE], { signal })).toString("utf8");
  const candidate = parseCandidate(policy);
  if (candidate === null || !isAtLeast(candidate, BROKER_MINIMUM)) return null;
  onProgress?.(`downloading ${PACKAGE} ${candidate}`);
  await run("apt-get", ["download", `${PACKAGE}=${candidate}`], { cwd: dir, signal });
  return onlyDeb(dir);
}

async function downloadNewer(cacheDir: string, { signal, onProgress, run }: BrokerOptions): Promise<string> {
  const archive = await findDebianMirror();
  const source = await openAptSource({
    suite: NEWER_SUITE,
    archive,
    cacheDir,
    signal,
    onProgress,
    ...(run === undefined ? {} : { run }),
  });
  return source.download(PACKAGE);
}
