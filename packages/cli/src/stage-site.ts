/**
 * A site on its way in: planned with the files beside it, then staged for warden as root's own.
 */
import { createHash } from "node:crypto";
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { API_ROUTES, type InstallationLayout, Plan, type SiteFile } from "@bulkhead/schema";
import type { ApiClient } from "./api-client.ts";
import { CliError } from "./error.ts";

/** @throws CliError `file-unreadable` */
export async function planFile(file: string, api: ApiClient): Promise<Plan> {
  const text = await readFile(file, "utf8").catch((cause: Error) => {
    throw new CliError("file-unreadable", `${file}: ${cause.message}`, { cause, exitCode: 2 });
  });
  return planText(file, text, api);
}

/** As planFile, of a text that is to stand in that file. */
export async function planText(file: string, text: string, api: ApiClient): Promise<Plan> {
  const ask = (files: readonly SiteFile[]): Promise<Plan> =>
    api.post(API_ROUTES.plan.path, Plan, { file: basename(file), text, files });
  const first = await ask([]);
  const files = await hashFiles(dirname(file), first.files);
  return files.length === 0 ? first : ask(files);
}

/** Puts the site and the files that its plan names where warden takes them from. Needs root. */
export async function stageSite(
  file: string,
  names: readonly string[],
  layout: InstallationLayout,
): Promise<void> {
  if (process.getuid?.() !== 0)
    throw new CliError("needs-root", "only root applies a site", { advice: "use sudo" });
  const beside = `${layout.siteStagedDir}.new`;
  await rm(beside, { recursive: true, force: true });
  await mkdir(beside, { recursive: true, mode: 0o700 });
  await copyAsRoot(file, join(beside, "site.yaml"));
  for (const name of names) {
    await mkdir(dirname(join(beside, name)), { recursive: true, mode: 0o700 });
    await copyAsRoot(join(dirname(file), name), join(beside, name));
  }
  await rm(layout.siteStagedDir, { recursive: true, force: true });
  await rename(beside, layout.siteStagedDir);
}

/** Content alone: owner and mode are ours. */
async function copyAsRoot(from: string, to: string): Promise<void> {
  const file = await open(to, "wx", 0o600);
  try {
    await file.writeFile(await readFile(from));
    await file.sync();
  } finally {
    await file.close();
  }
}

async function hashFiles(dir: string, names: readonly string[]): Promise<readonly SiteFile[]> {
  const files = await Promise.all(
    names.map(async (name) => {
      try {
        return {
          name,
          sha256: createHash("sha256")
            .update(await readFile(join(dir, name)))
            .digest("hex"),
        };
      } catch (error) {
        // A file that is not there is the plan's to report, with the line that names it.
        if (error instanceof Error && "code" in error && error.code === "ENOENT") return null;
        throw error;
      }
    }),
  );
  return files.filter((file) => file !== null);
}
