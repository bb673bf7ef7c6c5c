/**
 * Plain container: the same image under LXD as it comes, in a project of the bench's own that is
 * removed at the end: no limits, no read-back, no volumes, no sockets.
 */
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand, tryCommand } from "@bulkhead/testkit";
import * as z from "zod";

const PROJECT = "bhbench-start";
const NAME = "plain";
const STATE_TIMEOUT_S = 60;
const Instance = z.looseObject({ config: z.record(z.string(), z.string()) });
const Operation = z.looseObject({ status_code: z.int(), err: z.string() });

export interface PlainContainer extends AsyncDisposable {
  /** Resolves when LXD calls it started. */
  start(): Promise<void>;
  stop(): Promise<void>;
}

/** @param from project and instance whose image is taken; its storage pool has the project's name */
export async function makePlainContainer(from: {
  readonly project: string;
  readonly instance: string;
  readonly nodeDir: string;
}): Promise<PlainContainer> {
  await using undo = new AsyncDisposableStack();
  await removeProject();
  undo.defer(removeProject);
  const described = await lxc("query", `/1.0/instances/${from.instance}?project=${from.project}`);
  const image = Instance.parse(JSON.parse(described)).config["volatile.base_image"] ?? "";
  await lxc("project", "create", PROJECT, "-c", "features.images=true", "-c", "features.profiles=true");
  await copyImage(image, from.project);
  // A trimmed image has nothing that would idle but Node, which comes on a disk here as it does there.
  const idle = "raw.lxc=lxc.init.cmd = /usr/bin/tini -- /mnt/bin/node -e setInterval(()=>0,1e9)";
  await lxc("init", image, NAME, "--project", PROJECT, "--storage", from.project, "-c", idle);
  const disk = ["disk", `source=${from.nodeDir}`, "path=/mnt", "readonly=true"];
  await lxc("config", "device", "add", NAME, "node", ...disk, "--project", PROJECT);
  const change = async (action: string): Promise<void> => {
    const data = JSON.stringify({ action, force: true, timeout: STATE_TIMEOUT_S });
    const path = `/1.0/instances/${NAME}/state?project=${PROJECT}`;
    const done = Operation.parse(JSON.parse(await lxc("query", "--wait", "-X", "PUT", "-d", data, path)));
    if (done.err !== "") throw new Error(`the plain container: ${action}: ${done.err}`);
  };
  const owned = undo.move();
  return {
    start: () => change("start"),
    stop: () => change("stop"),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** By files: between projects the runtime copies public images alone. */
async function copyImage(fingerprint: string, project: string): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "bhbench-image-"));
  try {
    await lxc("image", "export", fingerprint, join(directory, "image"), "--project", project);
    const files = (await readdir(directory)).toSorted().map((name) => join(directory, name));
    await lxc("image", "import", ...files, "--project", PROJECT);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function removeProject(): Promise<void> {
  await tryCommand("lxc", ["delete", "--force", NAME, "--project", PROJECT]);
  const images = await tryCommand("lxc", [
    "image",
    "list",
    "--project",
    PROJECT,
    "--format",
    "csv",
    "-c",
    "F",
  ]);
  for (const fingerprint of images?.split("\n").filter((line) => line !== "") ?? []) {
    await lxc("image", "delete", fingerprint, "--project", PROJECT);
  }
  if (images !== undefined) await lxc("project", "delete", PROJECT);
}

async function lxc(...args: readonly string[]): Promise<string> {
  return (await runCommand("lxc", [...args], { timeoutMs: 120_000 })).stdout;
}
