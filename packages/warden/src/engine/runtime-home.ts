/**
 * What an installation has in the container runtime besides its instruments: a project of its own and a storage pool
 * of its own.
 *
 * Invariants: the project shares no image and no profile with others, and its default profile is empty; the pool is a
 * plain directory of the installation's. Things of other projects are never read or touched.
 */
import { mkdir } from "node:fs/promises";
import type { InstallationLayout } from "@bulkhead/schema";
import * as z from "zod";
import { WardenError } from "../error.ts";
import type { RuntimeClient } from "./runtime-client.ts";
import { Image, Project, StoragePool } from "./runtime-schemas.ts";

const features = {
  "features.images": "true",
  "features.profiles": "true",
  "features.storage.volumes": "true",
  "features.networks": "false",
} as const;

/**
 * Makes project and pool, or leaves them as they are.
 * @throws WardenError `runtime-home-foreign` where a project or pool of that name is not what this would make
 */
export async function ensureRuntimeHome(client: RuntimeClient, layout: InstallationLayout): Promise<void> {
  const { slug, poolDir } = layout;
  const server = { scope: "server" } as const;
  const pool = await client.find(`/1.0/storage-pools/${slug}`, StoragePool, server);
  if (pool === null) {
    await mkdir(poolDir, { recursive: true, mode: 0o711 });
    const config = { source: poolDir };
    await client.post("/1.0/storage-pools", { name: slug, driver: "dir", config }, server);
  } else if (pool.driver !== "dir" || pool.config["source"] !== poolDir) {
    throw foreign("storage pool", slug);
  }
  const project = await client.find(`/1.0/projects/${slug}`, Project, server);
  if (project === null) {
    await client.post("/1.0/projects", { name: slug, description: "", config: features }, server);
  } else if (project.config["features.images"] !== "true" || project.config["features.profiles"] !== "true") {
    throw foreign("project", slug);
  }
  await client.put("/1.0/profiles/default", { description: "", config: {}, devices: {} });
}

/**
 * Removes images, project and pool. Instruments must be gone.
 * @throws WardenError `runtime-refused` while something is still in it
 */
export async function removeRuntimeHome(client: RuntimeClient, layout: InstallationLayout): Promise<void> {
  const server = { scope: "server" } as const;
  const { slug } = layout;
  if ((await client.find(`/1.0/projects/${slug}`, Project, server)) !== null) {
    for (const { fingerprint } of await client.get("/1.0/images?recursion=1", z.array(Image))) {
      await client.delete(`/1.0/images/${fingerprint}`);
    }
    await client.delete(`/1.0/projects/${slug}`, server);
  }
  if ((await client.find(`/1.0/storage-pools/${slug}`, StoragePool, server)) !== null) {
    await client.delete(`/1.0/storage-pools/${slug}`, server);
  }
}

function foreign(kind: string, slug: string): WardenError {
  return new WardenError(
    "runtime-home-foreign",
    `the runtime has a ${kind} ${slug} that this installation did not make`,
    { fields: { kind, slug } },
  );
}
