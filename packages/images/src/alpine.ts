/**
 * Alpine's bootstrap: apk unpacks the packages into an empty root from the repository that root
 * configured, verified against the keys that root put beside it. No package script runs.
 *
 * An Alpine base is possible only where such a repository can be reached; nothing is guessed.
 */
import { mkdir, readFile, symlink } from "node:fs/promises";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { checkName } from "./apt-source.ts";
import type { BasePlan } from "./base-plan.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { runCommand } from "./command.ts";
import { ImageFault } from "./image-fault.ts";
import { parseApkFiles, parseApkPackages, selectApkRecords } from "./inventory.ts";
import { findAlpineMirror, type AlpineMirror } from "./mirrors.ts";

const INSTALLED = "lib/apk/db/installed";
const MACHINE: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

export const bootstrapAlpine: Bootstrap = async (plan, dir, { onProgress, signal }) => {
  const mirror = await findAlpineMirror();
  const [program = "", ...args] = planApk(plan, mirror, dir);
  try {
    await runCommand(program, args, { signal, onLine: (line) => onProgress?.(line) });
  } catch (cause) {
    if (!(cause instanceof ImageFault)) throw cause;
    throw new ImageFault("image-alpine-unavailable", `Alpine's packages: ${cause.message}`, {
      accepted: "base: debian; or a reachable repository with its keys, and apk (apk.static)",
      cause,
    });
  }
  await linkCommonPaths(dir);
  const database = await readFile(join(dir, INSTALLED), "utf8");
  return {
    packages: parseApkPackages(database),
    async filesOf(names) {
      const files = parseApkFiles(database);
      return new Map(names.map((name) => [name, files.get(name) ?? []] as const));
    },
    recordsOf: (kept) => new Map([[INSTALLED, selectApkRecords(database, kept)]]),
  };
};

/** The argv that unpacks a plan into a directory. */
export function planApk(plan: BasePlan, mirror: AlpineMirror, dir: string): readonly string[] {
  return [
    mirror.apk,
    "--root",
    dir,
    "--arch",
    MACHINE[process.arch] ?? process.arch,
    "--keys-dir",
    mirror.keysDir,
    "--repository",
    `${mirror.main}/${plan.suite}/main`,
    "--repository",
    `${mirror.main}/${plan.suite}/community`,
    "--no-cache",
    "--no-interactive",
    "--no-scripts",
    "--initdb",
    "add",
    ...plan.packages.map(checkName),
  ];
}

/** What a container's profile and a manifest name lies at the same place in both bases. */
async function linkCommonPaths(dir: string): Promise<void> {
  const links = [
    ["usr/bin/tini", "../../sbin/tini"],
    ["usr/bin/setpriv", "../../bin/setpriv"],
    ["usr/bin/busybox", "../../bin/busybox.static"],
  ] as const;
  await mkdir(join(dir, "usr/bin"), { recursive: true });
  for (const [path, target] of links) {
    if (existsSync(join(dir, path))) continue;
    if (existsSync(join(dir, "usr/bin", target))) await symlink(target, join(dir, path));
  }
}
