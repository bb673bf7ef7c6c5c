/**
 * What the tests of images share: a scratch directory that goes away, a package's folder with a
 * tiny agent, and a fault's code to be expected. Everything else is the real thing.
 */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ImageFault, type ImageFaultCode } from "@bulkhead/images";

/** A directory that others may pass through (apt and containers have users of their own). */
export async function scratch(): Promise<AsyncDisposable & { readonly dir: string }> {
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-images-"));
  await chmod(dir, 0o755);
  return { dir, [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }) };
}

export interface PackageOptions {
  readonly name: string;
  readonly image?: string;
  readonly run?: string;
  readonly files?: Readonly<Record<string, string>>;
}

/** Writes a package's folder below `dir` and resolves to its path. */
export async function writePackage(dir: string, options: PackageOptions): Promise<string> {
  const folder = join(dir, options.name);
  const manifest = `apiVersion: bulkhead/v1
name: ${options.name}
version: 1.0.0
title: A tiny instrument
role: helper
image: ${options.image ?? "{ base: debian, trim: true, files: [./rules] }"}
run: ${options.run ?? "{ command: [/opt/node/bin/node, /opt/instrument/agent.cjs] }"}
resources: { memory: 64MiB, cpu: 0.5, processes: 32 }
needs:
  - { id: store, kind: storage.persistent, size: 16MiB }
  - { id: scratch, kind: storage.transient, size: 16MiB }
`;
  const files = {
    "instrument.yaml": manifest,
    "src/main.ts": AGENT,
    "rules/own.rules": "alert\n",
    ...options.files,
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(folder, dirname(path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return folder;
}

/** Proves that it runs, as whom, and that its own files are there; then stays until told to go. */
const AGENT = `import { readFileSync, renameSync, writeFileSync } from "node:fs";
const passwd = readFileSync("/etc/passwd", "utf8");
const rules = readFileSync("/opt/instrument/files/rules/own.rules", "utf8").trim();
writeFileSync("/tmp/new", JSON.stringify({ uid: process.getuid?.(), rules, known: passwd.includes("instrument:x:1000:") }));
renameSync("/tmp/new", "/tmp/ready");
setInterval(() => {}, 60_000);
process.on("SIGTERM", () => process.exit(0));
`;

export async function rejectsWith(
  code: ImageFaultCode,
  promise: Promise<unknown>,
  about = "",
): Promise<ImageFault> {
  const failed = await promise.then(
    () => assert.fail(`${about}: expected ${code}, nothing was thrown`),
    (error: unknown) => error,
  );
  assert.ok(failed instanceof ImageFault, `${about}: ${String(failed)}`);
  assert.equal(failed.code, code, `${about}: ${failed.message}`);
  return failed;
}
