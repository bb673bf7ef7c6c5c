/** Probe sender: frames on the wire, each with the time right before it was handed to the kernel (c/probe.c). */
import { createHash, randomBytes } from "node:crypto";
import { access, mkdir, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { namespacePath, PACKET_TOOLS_DIR, runCommand } from "@bulkhead/testkit";
import type { ProbeFrames } from "./probe-frames.ts";

export interface ProbePort {
  readonly namespace: string;
  readonly device: string;
}

const SOURCE = join(import.meta.dirname, "c/probe.c");
const FLAGS = ["-O2", "-std=gnu17", "-Wall", "-Wextra", "-Werror"] as const;

/** Builds the program unless this very content was built before. @throws TestkitError if gcc refuses. */
export async function buildProbeSender(): Promise<string> {
  const digest = createHash("sha256")
    .update(FLAGS.join(" "))
    .update(await readFile(SOURCE));
  const target = join(PACKET_TOOLS_DIR, `probe-${digest.digest("hex").slice(0, 16)}`);
  const isBuilt = await access(target).then(
    () => true,
    () => false,
  );
  if (isBuilt) return target;
  await mkdir(PACKET_TOOLS_DIR, { recursive: true });
  const fresh = `${target}.${randomBytes(4).toString("hex")}`;
  await runCommand("gcc", [...FLAGS, "-o", fresh, SOURCE], { timeoutMs: 120_000 });
  await rename(fresh, target);
  return target;
}

/**
 * Sends all probes, each after its gap.
 * @returns for each when it was sent: nanoseconds of the clock of `process.hrtime`, CLOCK_MONOTONIC
 */
export async function sendProbes(
  program: string,
  port: ProbePort,
  probes: readonly (ProbeFrames & { readonly gapUs: number })[],
): Promise<readonly number[]> {
  const plan = probes.map(({ gapUs, frames, marked }) => {
    const words = frames.map((frame, index) => `${index === marked ? "@" : ""}${frame.toString("hex")}`);
    return [gapUs, ...words].join(" ");
  });
  const argv = [`--net=${namespacePath(port.namespace)}`, "--", program, port.device];
  const { stdout } = await runCommand("nsenter", argv, { input: `${plan.join("\n")}\n`, timeoutMs: 300_000 });
  return stdout.trimEnd().split("\n").map(Number);
}
