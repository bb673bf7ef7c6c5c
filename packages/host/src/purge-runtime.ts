/**
 * Removal of what an installation has in the container runtime: its project with everything in it, and its pool.
 *
 * Invariants: only the project and the pool of exactly this name, and the pool only if its source lies in the
 * installation's own directory; what belongs to other projects is never listed, let alone touched.
 */
import type { InstallationLayout } from "@bulkhead/schema";
import * as z from "zod";
import { HostError } from "./error.ts";
import { isUnder } from "./ownership.ts";
import { askRuntime } from "./runtime-socket.ts";

const Urls = z.array(z.string());
const Pool = z.object({ config: z.record(z.string(), z.string()) });

/**
 * @returns what was removed, in words
 * @throws HostError `host-runtime-silent`, `host-runtime-refused`, `host-pool-foreign`
 */
export async function purgeRuntime(layout: InstallationLayout, socket: string): Promise<readonly string[]> {
  return [...(await purgeProject(layout.slug, socket)), ...(await purgePool(layout, socket))];
}

async function purgeProject(slug: string, socket: string): Promise<readonly string[]> {
  const project = `/1.0/projects/${slug}`;
  if (!(await askRuntime(socket, "GET", project)).found) return [];
  const removed: string[] = [];
  for (const name of await list(socket, `/1.0/instances?project=${slug}`)) {
    const instance = `/1.0/instances/${encodeURIComponent(name)}`;
    await stopInstance(socket, instance, slug);
    await askRuntime(socket, "DELETE", `${instance}?project=${slug}`);
    removed.push(`instance ${name}`);
  }
  for (const fingerprint of await list(socket, `/1.0/images?project=${slug}`)) {
    await askRuntime(socket, "DELETE", `/1.0/images/${fingerprint}?project=${slug}`);
    removed.push(`image ${fingerprint.slice(0, 12)}`);
  }
  for (const name of await list(socket, `/1.0/profiles?project=${slug}`)) {
    if (name === "default") continue;
    await askRuntime(socket, "DELETE", `/1.0/profiles/${encodeURIComponent(name)}?project=${slug}`);
    removed.push(`profile ${name}`);
  }
  // The default profile may name the pool, which would keep both.
  const empty = { config: {}, devices: {}, description: "" };
  await askRuntime(socket, "PUT", `/1.0/profiles/default?project=${slug}`, empty);
  await askRuntime(socket, "DELETE", project);
  return [...removed, `project ${slug}`];
}

async function stopInstance(socket: string, instance: string, slug: string): Promise<void> {
  const State = z.object({ status: z.string() });
  const { found, metadata } = await askRuntime(socket, "GET", `${instance}/state?project=${slug}`);
  if (!found || State.parse(metadata).status === "Stopped") return;
  const order = { action: "stop", force: true, timeout: 30 };
  await askRuntime(socket, "PUT", `${instance}/state?project=${slug}`, order);
}

async function purgePool(layout: InstallationLayout, socket: string): Promise<readonly string[]> {
  const pool = `/1.0/storage-pools/${layout.slug}`;
  const { found, metadata } = await askRuntime(socket, "GET", pool);
  if (!found) return [];
  const source = Pool.parse(metadata).config["source"] ?? "";
  if (!isUnder(layout.libDir, source)) {
    throw new HostError("host-pool-foreign", `storage pool ${layout.slug} lies in ${source}`, {
      advice: "it is not what Bulkhead made; remove or rename it by hand",
    });
  }
  await askRuntime(socket, "DELETE", pool);
  return [`storage pool ${layout.slug}`];
}

/** Names at the end of the URLs that a listing gives. */
async function list(socket: string, path: string): Promise<readonly string[]> {
  const { metadata } = await askRuntime(socket, "GET", path);
  return Urls.parse(metadata ?? []).map((url) =>
    decodeURIComponent(new URL(url, "http://runtime").pathname.split("/").at(-1) ?? ""),
  );
}
