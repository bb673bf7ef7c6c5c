/**
 * The Node that all instruments share: one binary in a root-owned directory that is mounted
 * read-only into each container at /opt/node, so that its pages are in memory once.
 *
 * Stripped where binutils are present. It is linked with glibc: images of an Alpine base have
 * their own.
 */
import { chmod, copyFile, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { runCommand, type OnProgress, type RunCommand } from "./command.ts";
import { ImageFault } from "./image-fault.ts";
import { makeReadableDirectory } from "./readable-directory.ts";

export interface NodeDiskOptions {
  /** `bin/node` is put below it. */
  readonly nodeDir: string;
  /** The binary to take. */
  readonly binary: string;
  readonly run?: RunCommand;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Path of the Node binary that npm installed for this machine, as seen from a file of the project. */
export function findNodeBinary(from: string): string {
  const name = `node-linux-${process.arch}`;
  try {
    return join(createRequire(from).resolve(`${name}/package.json`), "..", "bin", "node");
  } catch (cause) {
    throw new ImageFault("image-program-missing", `npm did not install ${name}`, {
      accepted: "npm install with optional dependencies",
      cause,
    });
  }
}

/** Puts Node there unless it is there already. @throws ImageFault image-command-failed */
export async function ensureNodeDisk(options: NodeDiskOptions): Promise<"built" | "present"> {
  const { nodeDir, binary, signal, run = runCommand } = options;
  const target = join(nodeDir, "bin", "node");
  const stamp = join(nodeDir, "source.json");
  const found = await stat(binary);
  const source = JSON.stringify({ sizeBytes: found.size, modifiedMs: Math.floor(found.mtimeMs) });
  if ((await readIfThere(stamp)) === source && (await stat(target)).isFile()) return "present";
  options.onProgress?.("preparing the Node that instruments share");
  await makeReadableDirectory(join(nodeDir, "bin"));
  await using stack = new AsyncDisposableStack();
  const work = await mkdtemp(join(nodeDir, ".new-"));
  stack.defer(() => rm(work, { recursive: true, force: true }));
  const node = join(work, "node");
  await strip(binary, node, run, signal);
  await chmod(node, 0o755);
  await run(node, ["--version"], { signal });
  await rename(node, target);
  await writeFile(stamp, source);
  return "built";
}

async function strip(
  from: string,
  to: string,
  run: RunCommand,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await run("strip", ["-o", to, from], { signal });
  } catch (error) {
    if (!(error instanceof ImageFault && error.code === "image-command-missing")) throw error;
    await copyFile(from, to);
  }
}

async function readIfThere(file: string): Promise<string | null> {
  return readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
}
