/**
 * Ruleset applier: takes rule files from the read-only inbox into force.
 *
 * inbox → copy → check → swap → reload → report. The rules in force lie in `<store>/current`, a
 * symlink that is replaced in one step. Invariants: files that the tool's own check rejects never
 * become current; when the reload fails, the former rules are current again. It knows nothing of a
 * tool: checking and reloading are the caller's.
 */
import { copyFile, mkdir, open, readdir, readlink, rename, rm, symlink } from "node:fs/promises";
import { constants } from "node:fs";
import { basename, join } from "node:path";
import type { RefusedConfig } from "@bulkhead/schema";
import { SdkError } from "./error.ts";

export interface RulesetDelivery {
  /** Directory of this delivery, `/inbox/<version>`. */
  readonly dir: string;
  /** Becomes a directory's name in the store. */
  readonly version: string;
  /** Relative paths below `dir`, in the order in which they apply. */
  readonly names: readonly string[];
}

/** One rule file: the name that the operator gave it, and where the copy lies. */
export interface RuleFile {
  readonly name: string;
  readonly path: string;
}

export type RuleFaults = RefusedConfig["faults"];

export interface RulesetTool {
  /** Faults of these files, by the operator's names; empty where all is well. */
  readonly check: (files: readonly RuleFile[]) => Promise<RuleFaults>;
  /** Has the tool take what is current now, the new rules or the former again; null when it did, else why not. */
  readonly reload: (which: "new" | "former", files: readonly RuleFile[]) => Promise<string | null>;
}

export type RulesetOutcome =
  | { readonly outcome: "applied"; readonly files: readonly RuleFile[] }
  | { readonly outcome: "refused"; readonly faults: RuleFaults };

const NAME_PATTERN = /^(\.\/)?[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;
const VERSION_PATTERN = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** Path of the rules in force; it may not exist yet. */
export function currentRules(storeDir: string): string {
  return join(storeDir, "current");
}

/** @throws SdkError `sdk-file-name-unsafe`; errors of the file system where the store cannot be written. */
export async function applyRuleset(
  storeDir: string,
  delivery: RulesetDelivery,
  tool: RulesetTool,
): Promise<RulesetOutcome> {
  if (!VERSION_PATTERN.test(delivery.version)) {
    throw new SdkError("sdk-file-name-unsafe", `no version for a directory: ${delivery.version}`);
  }
  // A version that is current is never written over: the check would work on the running rules.
  const target = `${delivery.version}.${Date.now().toString(36)}`;
  const taken = join(storeDir, target);
  await mkdir(taken, { recursive: true });
  const copied = await copyFiles(delivery, taken);
  const faults = copied.faults.length > 0 ? copied.faults : await tool.check(copied.files);
  if (faults.length > 0) {
    await rm(taken, { recursive: true, force: true });
    return { outcome: "refused", faults };
  }
  const former = await readCurrent(storeDir);
  await pointCurrent(storeDir, target);
  const current = copied.files.map((file) => ({
    name: file.name,
    path: join(currentRules(storeDir), basename(file.path)),
  }));
  const failure = await tool.reload("new", current);
  if (failure !== null) {
    if (former !== null) {
      await pointCurrent(storeDir, former);
      await tool.reload("former", []);
      await rm(taken, { recursive: true, force: true });
    }
    return {
      outcome: "refused",
      faults: [{ message: `the rules could not be loaded: ${failure}`.slice(0, 2000) }],
    };
  }
  await removeOthers(storeDir, target);
  return { outcome: "applied", files: current };
}

/** Copies are named by their order, so that two files of one name in different folders stay apart. */
async function copyFiles(
  delivery: RulesetDelivery,
  dir: string,
): Promise<{ readonly files: readonly RuleFile[]; readonly faults: RuleFaults }> {
  const files: RuleFile[] = [];
  const faults: RuleFaults = [];
  for (const [index, name] of delivery.names.entries()) {
    if (!NAME_PATTERN.test(name))
      throw new SdkError("sdk-file-name-unsafe", `not a file below the inbox: ${name}`);
    const path = join(dir, `${String(index).padStart(3, "0")}-${basename(name)}`);
    const problem = await copyRegular(join(delivery.dir, name), path);
    if (problem === null) files.push({ name, path });
    else faults.push({ file: name, message: problem });
  }
  return { files, faults };
}

async function copyRegular(from: string, to: string): Promise<string | null> {
  try {
    await using file = await open(from, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const stat = await file.stat();
    if (!stat.isFile()) return "is not a regular file";
    if (stat.size > MAX_FILE_BYTES) return `is larger than ${MAX_FILE_BYTES} bytes`;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // what node:fs rejects with
    if (code === "ENOENT") return "was not delivered";
    if (code === "ELOOP") return "is a symbolic link";
    throw error;
  }
  // The inbox is the platform's and read-only: between the look and the copy nothing changes it.
  await copyFile(from, to);
  return null;
}

async function readCurrent(storeDir: string): Promise<string | null> {
  try {
    return await readlink(currentRules(storeDir));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}

async function pointCurrent(storeDir: string, target: string): Promise<void> {
  const next = join(storeDir, "current.next");
  await rm(next, { force: true });
  await symlink(target, next);
  await rename(next, currentRules(storeDir));
}

async function removeOthers(storeDir: string, keep: string): Promise<void> {
  for (const entry of await readdir(storeDir, { withFileTypes: true })) {
    if (!entry.isDirectory() || entry.name === keep || entry.name === "lost+found") continue;
    await rm(join(storeDir, entry.name), { recursive: true, force: true });
  }
}
