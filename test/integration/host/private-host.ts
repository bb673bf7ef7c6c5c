/**
 * A host of one's own for a test: the same machine with its own view of the directories that set-up writes to, and
 * its own processes, all of which vanish with the test.
 *
 * Each directory is an overlay over the real one in a private mount namespace; process ids are private too. Kernel
 * settings, accounts' names and the network are the real host's.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runCommand } from "../../../packages/host/src/command.ts";
import { nullIfMissing } from "../../../packages/warden/src/site/read-file.ts";

const inside = "BULKHEAD_TEST_PRIVATE_HOST";
const overlaid = ["/etc", "/opt", "/usr", "/var", "/run"];
/** What running installations have is no concern of this host: hidden by a whiteout, overlayfs's mark of absence. */
const hidden = [
  ...["/etc", "/opt", "/var/lib", "/var/log", "/run"].map((path) => `${path}/bulkhead`),
  "/etc/sysctl.d/60-bulkhead.conf",
];
/** Live data of daemons, which an overlay would freeze. */
const bound = ["/var/lib/lxd", "/var/lib/incus", "/run/netns"];

export function isPrivateHost(): boolean {
  return process.env[inside] !== undefined;
}

/** Runs a test file again on a private host. @returns its exit code and what it printed, failures only if there are any */
export async function runOnPrivateHost(
  file: string,
): Promise<{ readonly exitCode: number | null; readonly output: string }> {
  const scratch = await mkdtemp(join(tmpdir(), "bulkhead-private-"));
  try {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const node = [process.execPath, "--test-reporter=spec", file];
    const child = spawn(
      "unshare",
      ["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", ...node],
      { env: { ...env, [inside]: scratch }, stdio: ["ignore", "pipe", "pipe"] },
    );
    const chunks: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => chunks.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => chunks.push(chunk));
    const { promise, resolve, reject } = Promise.withResolvers<number | null>();
    child.once("error", reject);
    child.once("close", resolve);
    const exitCode = await promise;
    const output = Buffer.concat(chunks).toString("utf8");
    // The first failure is the one that tells: the others follow from it.
    return { exitCode, output: output.slice(Math.max(0, output.indexOf("failing tests:"))) };
  } finally {
    await runCommand("rm", ["--recursive", "--force", "--one-file-system", "--", scratch]);
  }
}

/** Lays the overlays; called first thing inside. `runtimes: "none"` hides the daemons of the real host. */
export async function layPrivateHost(
  options: { readonly runtimes: "shared" | "none" } = { runtimes: "shared" },
): Promise<void> {
  const scratch = process.env[inside] ?? "";
  for (const [index, path] of bound.entries()) {
    const kept = join(scratch, `bound-${index}`);
    await mkdir(kept);
    if (await isDirectory(path)) await runCommand("mount", ["--bind", path, kept]);
  }
  for (const path of overlaid) {
    const layers = join(scratch, path.slice(1));
    await mkdir(join(layers, "upper"), { recursive: true });
    await mkdir(join(layers, "work"));
    for (const hide of hidden.filter((each) => each.startsWith(`${path}/`))) {
      const whiteout = join(layers, "upper", hide.slice(path.length));
      await mkdir(dirname(whiteout), { recursive: true });
      await runCommand("mknod", [whiteout, "c", "0", "0"]);
    }
    const options = `lowerdir=${path},upperdir=${layers}/upper,workdir=${layers}/work`;
    await runCommand("mount", ["-t", "overlay", "-o", options, "overlay", path]);
  }
  for (const [index, path] of bound.entries()) {
    // One that this machine lacks is no loss.
    if (await isDirectory(path)) await runCommand("mount", ["--bind", join(scratch, `bound-${index}`), path]);
  }
  if (options.runtimes === "none") {
    for (const path of ["/var/lib/lxd", "/var/lib/incus"]) {
      await mkdir(path, { recursive: true });
      await runCommand("mount", ["-t", "tmpfs", "tmpfs", path]);
    }
  }
  await rm("/run/systemd/system", { recursive: true, force: true });
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(nullIfMissing))?.isDirectory() === true;
}
