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
  /** Files that lie elsewhere, after those: of the store itself, or of another read-only place. */
  readonly beside?: readonly RuleFile[];
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
  /**
   * Puts a file of the tool's own beside the rules before they become current, so that it is there with them or not
   * at all. `files` are as they will be then.
   */
  readonly seal?: (dir: string, files: readonly RuleFile[]) => Promise<void>;
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
  const target = freshName(delivery.version);
  const taken = join(storeDir, target);
  await mkdir(taken, { recursive: true });
  const copied = await copyFiles(delivery, taken);
  const faults = copied.faults.length > 0 ? copied.faults : await tool.check(copied.files);
  if (faults.length > 0) {
    await rm(taken, { recursive: true, force: true });
    return { outcome: "refused", faults };
  }
  const current = copied.files.map((file) => ({
    name: file.name,
    path: join(currentRules(storeDir), basename(file.path)),
  }));
  await tool.seal?.(taken, current);
  const former = await readCurrent(storeDir);
  await pointCurrent(storeDir, target);
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

/**
 * As far as the check, and then nothing is left of it.
 * @throws SdkError `sdk-file-name-unsafe`; errors of the file system where the store cannot be written.
 */
export async function checkRuleset(
  storeDir: string,
  delivery: RulesetDelivery,
  check: RulesetTool["check"],
): Promise<RuleFaults> {
  const taken = join(storeDir, freshName(delivery.version));
  await mkdir(taken, { recursive: true });
  try {
    const { files, faults } = await copyFiles(delivery, taken);
    return faults.length > 0 ? faults : await check(files);
  } finally {
    await rm(taken, { recursive: true, force: true });
  }
}

/** A version that is current is never written over: the check would work on the running rules. */
function freshName(version: string): string {
  if (!VERSION_PATTERN.test(version)) {
    throw new SdkError("sdk-file-name-unsafe", `no version for a directory: ${version}`);
  }
  return `${version}.${Date.now().toString(36)}`;
}

/** Copies are named by their order, so that two files of one name in different folders stay apart. */
async function copyFiles(
  delivery: RulesetDelivery,
  dir: string,
): Promise<{ readonly files: readonly RuleFile[]; readonly faults: RuleFaults }> {
  const files: RuleFile[] = [];
  const faults: RuleFaults = [];
  const inbox = delivery.names.map((name) => {
    if (!NAME_PATTERN.test(name))
      throw new SdkError("sdk-file-name-unsafe", `not a file below the inbox: ${name}`);
    return { name, path: join(delivery.dir, name) };
  });
  for (const [index, { name, path: from }] of [...inbox, ...(delivery.beside ?? [])].entries()) {
    const path = join(dir, `${String(index).padStart(3, "0")}-${basename(name)}`);
    const problem = await copyRegular(from, path);
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
  // The inbox is the platform's and read-only, the store ours: between the look and the copy nothing changes them.
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
