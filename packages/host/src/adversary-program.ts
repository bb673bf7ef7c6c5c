/**
 * The adversary of `bulkhead verify`: its bundle, and beside it the native module by which it makes system calls.
 *
 * Invariants: the directory is root's and is shown read-only to a canary alone; only this machine's module is in it.
 */
import { cp, mkdir, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import type { InstallationLayout } from "@bulkhead/schema";
import { bundle } from "@bulkhead/images";
import { ROOT_READABLE, writeAtomically } from "./atomic-file.ts";
import type { BuildOptions } from "./programs.ts";

const ENTRY = "packages/verify/src/adversary/main.ts";
const FIRST_PROCESS = "first-process.sh";
/** Of koffi's package, what `require("koffi")` reads. */
const KOFFI_FILES = ["package.json", "index.cjs", "src/koffi/index.cjs", "src/koffi/src/static.cjs"] as const;

/** @returns what changed. @throws ImageFault */
export async function ensureAdversary(
  layout: Pick<InstallationLayout, "optDir">,
  { sourceDir }: BuildOptions,
): Promise<readonly string[]> {
  const dir = join(layout.optDir, "adversary");
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const { code } = await bundle(join(sourceDir, ENTRY), { format: "cjs", external: ["koffi"] });
  const changed = await writeAtomically(join(dir, "adversary.cjs"), code, ROOT_READABLE);
  const script = await readFile(join(sourceDir, dirname(ENTRY), FIRST_PROCESS), "utf8");
  const scripted = await writeAtomically(join(dir, FIRST_PROCESS), script, ROOT_READABLE);
  const copied = await ensureKoffi(dir, findModules(join(sourceDir, "package.json")));
  return changed || scripted || copied ? ["adversary"] : [];
}

/** Where npm put koffi, as programs of the checkout find it. */
function findModules(from: string): string {
  return join(dirname(createRequire(from).resolve("koffi")), "..");
}

async function ensureKoffi(dir: string, modules: string): Promise<boolean> {
  const wanted = await readFile(join(modules, "koffi/package.json"), "utf8");
  const target = join(dir, "node_modules");
  const present = await readFile(join(target, "koffi/package.json"), "utf8").catch(() => null);
  if (present === wanted) return false;
  await rm(target, { recursive: true, force: true });
  for (const file of KOFFI_FILES) {
    if (file === "package.json") continue;
    await cp(join(modules, "koffi", file), join(target, "koffi", file), { recursive: true });
  }
  const native = `@koromix/koffi-linux-${process.arch}`;
  await cp(join(modules, native), join(target, native), { recursive: true });
  // Last: a copy that was cut short is made again.
  await cp(join(modules, "koffi/package.json"), join(target, "koffi/package.json"));
  return true;
}
