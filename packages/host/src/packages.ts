/**
 * Debian packages on the host: what is there, and the missing ones installed and taken away again.
 *
 * Invariants: apt's own verification and the host's own sources; no recommended packages; never an answer asked of
 * anybody. What is installed here, dependencies included, is recorded, and only that can be taken away again.
 */
import { askCommand, runCommand } from "./command.ts";
import { errorMessage, HostError } from "./error.ts";
import { changeRecords, readRecords } from "./host-records.ts";
import { parseInstalled, parseRemovals } from "./package-choice.ts";

const timeoutMs = 1_800_000;
const env = { DEBIAN_FRONTEND: "noninteractive", NEEDRESTART_SUSPEND: "1" };
const lockPatience = ["-o", "DPkg::Lock::Timeout=600"];

/** Those of `names` that are installed. */
export async function installedPackages(names: readonly string[]): Promise<readonly string[]> {
  const format = "${Package} ${db:Status-Status}\n";
  // Exit code 1 says that some are not known, which is an answer.
  const { stdout } = await askCommand("dpkg-query", ["-W", "-f", format, ...names]);
  return parseInstalled(stdout);
}

/** Those of `names` that the host's package lists offer. */
export async function availablePackages(names: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await askCommand("apt-cache", ["--no-all-versions", "show", ...names]);
  const found = [...stdout.matchAll(/^Package: (\S+)$/gm)].map((match) => match[1]);
  return names.filter((name) => found.includes(name));
}

/**
 * Installs what is missing of `names`. The caller holds the host lock.
 * @returns what was missing
 * @throws HostError `host-packages-failed`
 */
export async function ensurePackages(
  names: readonly string[],
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const present = new Set(await installedPackages(names));
  const missing = names.filter((name) => !present.has(name));
  if (missing.length === 0) return [];
  const before = new Set(await allPackages());
  try {
    await install(missing, signal);
  } finally {
    // Also after a failure: what came half-way is ours to take away too.
    const added = (await allPackages()).filter((name) => !before.has(name));
    if (added.length > 0) {
      await changeRecords((records) => ({
        ...records,
        packages: [...new Set([...records.packages, ...added])].toSorted(),
      }));
    }
  }
  return missing;
}

/**
 * Takes away what setup had installed.
 * @returns what was removed
 * @throws HostError `host-packages-needed` if something else on the host has come to need one of them
 */
export async function removeInstalledPackages(): Promise<readonly string[]> {
  const { packages } = await readRecords();
  const present = await installedPackages(packages);
  if (packages.length === 0 || present.length === 0) return [];
  const args = ["-y", ...lockPatience, "purge", ...present];
  const removals = parseRemovals(await runCommand("apt-get", ["--simulate", ...args], { env }));
  const others = removals.filter((name) => !packages.includes(name));
  if (others.length > 0) {
    throw new HostError(
      "host-packages-needed",
      `packages that Bulkhead installed are needed by others now: ${others.join(", ")}`,
      { advice: `remove by hand what may go: ${present.join(" ")}` },
    );
  }
  await runCommand("apt-get", ["-q", ...args], { env, timeoutMs });
  await changeRecords((records) => ({ ...records, packages: [] }));
  return present;
}

async function install(missing: readonly string[], signal?: AbortSignal): Promise<void> {
  const options = { env, timeoutMs, ...(signal === undefined ? {} : { signal }) };
  const args = ["-q", "-y", "--no-install-recommends", ...lockPatience, "install", ...missing];
  const first = await askCommand("apt-get", args, options);
  if (first.exitCode === 0) return;
  // Lists may be missing or old. One broken source of the host must not hide the packages of the others.
  const update = await askCommand("apt-get", ["-q", ...lockPatience, "update"], options);
  try {
    await runCommand("apt-get", args, options);
  } catch (cause) {
    const doubt = update.exitCode === 0 ? "" : ` (apt-get update: ${lastLine(update.stderr)})`;
    throw new HostError("host-packages-failed", `${lastLine(errorMessage(cause))}${doubt}`, {
      advice: `run \`apt-get update\` and \`apt-get install ${missing.join(" ")}\` by hand and read what apt says`,
      cause,
    });
  }
}

async function allPackages(): Promise<readonly string[]> {
  return await installedPackages([]);
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
