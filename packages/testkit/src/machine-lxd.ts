/**
 * What LXD or Incus holds: projects, pools, instances, images, profiles, networks and volumes, of everybody.
 *
 * Invariants: read-only, over the daemon's Unix socket (its REST API, `/1.0`); no daemon means an empty list.
 */
import { request } from "node:http";
import { TestkitError } from "./error.ts";

const SOCKETS = [
  "/var/lib/lxd/unix.socket",
  "/var/snap/lxd/common/lxd/unix.socket",
  "/var/lib/incus/unix.socket",
] as const;

/** Collections of the REST API; those of a project are asked for in each. */
const OF_DAEMON = ["projects", "storage-pools"] as const;
const OF_PROJECT = ["instances", "images", "profiles", "networks"] as const;
const TIMEOUT_MS = 15_000;

export async function listContainerObjects(): Promise<readonly string[]> {
  const found = await Promise.all(SOCKETS.map(listDaemon));
  return found.flat();
}

/** The parts of an object that are compared; an image has a fingerprint for a name. */
interface ContainerObject {
  readonly name?: string;
  readonly fingerprint?: string;
  /** Of networks: false for what is merely an interface of the host. */
  readonly managed?: boolean;
}

async function listDaemon(socketPath: string): Promise<readonly string[]> {
  const projects = await ask(socketPath, "/1.0/projects?recursion=1");
  if (projects === undefined) return [];
  const ofDaemon = OF_DAEMON.map(async (collection) => {
    const found = (await ask(socketPath, `/1.0/${collection}?recursion=1`)) ?? [];
    return found.map((object) => `${collection} ${nameOf(object)}`);
  });
  const ofProjects = projects.flatMap((project) =>
    OF_PROJECT.map(async (collection) => {
      const where = `project=${encodeURIComponent(nameOf(project))}`;
      const found = (await ask(socketPath, `/1.0/${collection}?recursion=1&${where}`)) ?? [];
      return found
        .filter(({ managed }) => managed !== false)
        .map((object) => `${collection} ${nameOf(object)} in project ${nameOf(project)}`);
    }),
  );
  return (await Promise.all([...ofDaemon, ...ofProjects])).flat();
}

function nameOf(object: ContainerObject): string {
  return object.name ?? object.fingerprint ?? "";
}

/** The objects of a collection; undefined if nothing listens at the socket. */
async function ask(socketPath: string, path: string): Promise<readonly ContainerObject[] | undefined> {
  const answer = Promise.withResolvers<string | undefined>();
  const get = request({ socketPath, path, headers: { host: "daemon" }, timeout: TIMEOUT_MS, agent: false });
  get.on("response", (response) => {
    const parts: string[] = [];
    response.setEncoding("utf8").on("data", (part: string) => parts.push(part));
    response.on("end", () => answer.resolve(parts.join(""))).on("error", answer.reject);
  });
  get.on("timeout", () => get.destroy(new Error("timeout")));
  get.on("error", (cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ECONNREFUSED") answer.resolve(undefined);
    else
      answer.reject(
        new TestkitError("testkit-tool-failed", `${socketPath}${path}: ${cause.message}`, { cause }),
      );
  });
  get.end();
  const text = await answer.promise;
  if (text === undefined) return undefined;
  // LXD's REST envelope: `metadata` is the collection. One that this daemon does not know, or lacks, has none.
  const { metadata } = JSON.parse(text) as { readonly metadata?: readonly ContainerObject[] | null };
  return Array.isArray(metadata) ? metadata : [];
}
