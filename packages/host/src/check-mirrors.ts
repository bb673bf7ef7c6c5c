/**
 * Whether the host's own apt and npm mirrors answer: asked through apt and npm themselves, so that proxies, keys and
 * mirrors are those of the host's configuration. Asked before set-up alone. npm has done its part by then, so its
 * silence is no failure.
 */
import { askCommand } from "./command.ts";
import { HostError } from "./error.ts";
import { absent, failed, type HostCheck, ok } from "./host-check.ts";

const timeoutMs = 60_000;

export async function checkMirrors(signal?: AbortSignal): Promise<readonly HostCheck[]> {
  return await Promise.all([checkApt(signal), checkNpm(signal)]);
}

/** apt must be able to say where a package comes from; the bytes themselves are fetched by set-up. */
async function checkApt(signal?: AbortSignal): Promise<HostCheck> {
  const { stdout } = await askCommand("apt-cache", ["policy", "iproute2"], withSignal(signal));
  const candidate = /Candidate: (\S+)/.exec(stdout)?.[1];
  if (candidate !== undefined && candidate !== "(none)") {
    return ok("mirror-apt", "the package lists are there");
  }
  const update = await askCommand("apt-get", ["-q", "update"], withSignal(signal));
  return update.exitCode === 0
    ? ok("mirror-apt", "the package lists were fetched")
    : failed(
        "mirror-apt",
        update.stderr.trim().split("\n").at(-1) ?? "apt-get update failed",
        "correct /etc/apt/sources.list* or the network",
      );
}

async function checkNpm(signal?: AbortSignal): Promise<HostCheck> {
  try {
    const { exitCode, stderr } = await askCommand("npm", ["ping"], withSignal(signal));
    if (exitCode === 0) return ok("mirror-npm", "it answers");
    const reason = stderr.split("\n").find((line) => line.includes("error")) ?? "npm ping failed";
    return absent("mirror-npm", reason, "an update of Bulkhead needs it; what is here runs without");
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== "host-command-missing") throw error;
    return absent("mirror-npm", "npm is not installed", "an update of Bulkhead needs it");
  }
}

function withSignal(signal?: AbortSignal): { timeoutMs: number; signal?: AbortSignal } {
  return { timeoutMs, ...(signal === undefined ? {} : { signal }) };
}
