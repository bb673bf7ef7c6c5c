/** A shelf by itself, with two receivers. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { DeliveryOpen } from "@bulkhead/schema";
import type { Log } from "../../../packages/sensord/src/log.ts";
import { resourceRights } from "../../../packages/sensord/src/resources/resource-rights.ts";
import { ResourceShelf } from "../../../packages/sensord/src/resources/resource-shelf.ts";
import { Spool } from "../../../packages/sensord/src/resources/spool.ts";

export const PUBLISHED: DeliveryOpen = {
  type: "ruleset.feed",
  name: "et-open",
  sizeBytes: 64 * 1024,
  mediaType: "text/plain",
};
const TYPE = { type: PUBLISHED.type, size: PUBLISHED.sizeBytes };
const RIGHTS = resourceRights(
  [
    { name: "feeds", needs: [{ id: "out", kind: "resource.publish", ...TYPE }] },
    { name: "rules", needs: [{ id: "in", kind: "resource.receive", ...TYPE }] },
    { name: "other", needs: [{ id: "in", kind: "resource.receive", ...TYPE }] },
  ],
  ["rules", "other"].map((to) => ({ from: "feeds", type: TYPE.type, to })),
);

export async function openShelf(
  dir: string,
  log: Log,
): Promise<{ readonly spool: Spool; readonly shelf: ResourceShelf }> {
  const receiversDir = join(dir, "receivers");
  for (const to of ["rules", "other"]) await mkdir(join(receiversDir, to), { recursive: true });
  const spool = await Spool.open({ dir, receiversDir });
  const shelf = await ResourceShelf.open({
    file: join(dir, "resources.json"),
    spool,
    log,
    told: () => null,
    onPlaced: () => undefined,
  });
  await shelf.follow(RIGHTS);
  return { spool, shelf };
}
