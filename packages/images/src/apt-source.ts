/**
 * Apt for another suite than the host's, beside the host's own: own sources, lists and downloads
 * under /var/cache/bulkhead/apt/<suite>; the host's apt.conf stays in force (proxies, certificates).
 *
 * Everything is verified by apt against Debian's archive keyring. Nothing is ever installed on the
 * host, and the host's lists are not touched. A kernel lock keeps two runs apart.
 */
import { mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { DebianArchive } from "./apt-sources.ts";
import { runCommand, type OnProgress, type RunCommand } from "./command.ts";
import { ImageFault } from "./image-fault.ts";
import { makeReadableDirectory } from "./readable-directory.ts";

const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";
const LISTS_GOOD_FOR_MS = 24 * 60 * 60 * 1000;

export interface AptSourceOptions {
  readonly suite: string;
  readonly archive: DebianArchive;
  /** Where `apt/<suite>` is made. */
  readonly cacheDir: string;
  readonly run?: RunCommand;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface AptSource {
  /** Version that apt would take, or null where the suite has no such package. */
  candidate(name: string): Promise<string | null>;
  /** Downloads the package that apt would take, verified; resolves to the path of its `.deb`. */
  download(name: string): Promise<string>;
}

/** Lines of sources.list(5) for a suite: the release, and its security updates where known. */
export function renderSources(suite: string, archive: DebianArchive): string {
  const signed = `[signed-by=${KEYRING}]`;
  const release = suite.replace(/-backports$/, "");
  const lines = [`deb ${signed} ${archive.main} ${release} main`];
  if (suite !== release) lines.push(`deb ${signed} ${archive.main} ${suite} main`);
  if (archive.security !== null && release !== "sid" && release !== "unstable") {
    lines.push(`deb ${signed} ${archive.security} ${release}-security main`);
  }
  return `${lines.join("\n")}\n`;
}

/** Prepares the directories, and fetches the lists where they are missing or a day old. */
export async function openAptSource(options: AptSourceOptions): Promise<AptSource> {
  const { suite, archive, signal, run = runCommand } = options;
  const dir = join(options.cacheDir, "apt", suite);
  const config = join(dir, "apt.conf");
  const debs = join(dir, "debs");
  for (const each of ["lists/partial", "cache/archives/partial", "debs"]) {
    await makeReadableDirectory(join(dir, each));
  }
  const sources = renderSources(suite, archive);
  const stamp = join(dir, "updated");
  if ((await readText(join(dir, "sources.list"))) !== sources) await rm(stamp, { force: true });
  await writeFile(join(dir, "sources.list"), sources);
  await writeFile(join(dir, "status"), "");
  await writeFile(config, renderConfig(dir));
  // flock(1): another run on this host may be updating the same lists.
  const apt = async (program: string, args: readonly string[], cwd = debs): Promise<string> => {
    const argv = [join(dir, "lock"), program, "-c", config, ...args];
    return (await run("flock", argv, { cwd, signal })).toString("utf8");
  };

  const update = async (): Promise<void> => {
    options.onProgress?.(`fetching the package lists of ${suite}`);
    await apt("apt-get", ["update", "--error-on=any"]);
    await writeFile(stamp, "");
  };
  if (!(await isFresh(stamp))) await update();

  const candidate = async (name: string): Promise<string | null> =>
    parseCandidate(await apt("apt-cache", ["policy", checkName(name)]));

  const download = async (name: string): Promise<string> => {
    const version = await candidate(name);
    if (version === null) {
      throw new ImageFault("image-package-missing", `${suite} has no package ${name}`);
    }
    options.onProgress?.(`downloading ${name} ${version} from ${suite}`);
    const target = join(debs, name);
    await rm(target, { recursive: true, force: true });
    await mkdir(target, { recursive: true });
    await apt("apt-get", ["download", `${name}=${version}`], target);
    return onlyDeb(target);
  };

  return {
    candidate,
    async download(name) {
      try {
        return await download(name);
      } catch (error) {
        // A mirror drops superseded versions, so lists that are hours old may name a file that is gone.
        if (!(error instanceof ImageFault && error.code === "image-command-failed")) throw error;
        await update();
        return download(name);
      }
    },
  };
}

/** The candidate in the output of `apt-cache policy`; null where there is none. */
export function parseCandidate(policy: string): string | null {
  const version = /^ {2}Candidate: (\S+)$/m.exec(policy)?.[1];
  return version === undefined || version === "(none)" ? null : version;
}

/** @throws ImageFault image-package-missing: the name could not be a package's (it goes into an argv). */
export function checkName(name: string): string {
  if (/^[a-z0-9][a-z0-9+.-]+$/.test(name)) return name;
  throw new ImageFault("image-package-missing", `${JSON.stringify(name)} is no package name`);
}

/** The one `.deb` of a directory. */
export async function onlyDeb(dir: string): Promise<string> {
  const found = (await readdir(dir)).filter((name) => name.endsWith(".deb"));
  const [only] = found;
  if (only === undefined || found.length > 1) {
    throw new ImageFault("image-package-missing", `apt left ${found.length} packages in ${dir}`);
  }
  return join(dir, only);
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "";
    throw error;
  });
}

async function isFresh(stamp: string): Promise<boolean> {
  const age = await stat(stamp).then(
    (found) => Date.now() - found.mtimeMs,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return Number.POSITIVE_INFINITY;
      throw error;
    },
  );
  return age < LISTS_GOOD_FOR_MS;
}

/** Read by `-c`, after the host's own: hooks of the host's `apt update` are not ours to run. */
function renderConfig(dir: string): string {
  const set: readonly (readonly [string, string])[] = [
    ["Dir::Etc::sourcelist", join(dir, "sources.list")],
    ["Dir::Etc::sourceparts", "/dev/null"],
    ["Dir::Etc::preferences", "/dev/null"],
    ["Dir::Etc::preferencesparts", "/dev/null"],
    ["Dir::State::lists", join(dir, "lists")],
    ["Dir::State::status", join(dir, "status")],
    ["Dir::Cache", join(dir, "cache")],
    ["Acquire::Languages", "none"],
    ["Acquire::AllowInsecureRepositories", "false"],
    ["Acquire::AllowWeakRepositories", "false"],
    ["Acquire::AllowDowngradeToInsecureRepositories", "false"],
    ["APT::Get::AllowUnauthenticated", "false"],
  ];
  const cleared = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success"];
  return [
    ...cleared.map((name) => `#clear ${name};\n`),
    "#clear Acquire::Languages;\n",
    ...set.map(([name, value]) => `${name} "${value}";\n`),
  ].join("");
}
