/** Publishes one version after another, to be killed at any step of it. */
import { createHash, randomBytes } from "node:crypto";
import { SILENT } from "../../../packages/sensord/src/log.ts";
import { openShelf, PUBLISHED } from "./shelf-places.ts";

const [dir = ""] = process.argv.slice(2);
const { spool, shelf } = await openShelf(dir, SILENT);
for (;;) {
  const content = randomBytes(64 * 1024);
  const sha256 = createHash("sha256").update(content).digest("hex");
  const id = randomBytes(8).toString("hex");
  await using file = await spool.begin(id);
  await file.writeFile(content);
  await file.sync();
  const { version } = await shelf.publish("feeds", PUBLISHED, { id, sha256, sizeBytes: content.length });
  // Every other version is a good one.
  for (const to of ["rules", "other"]) {
    const notice = shelf.notices(to).at(-1);
    if (notice !== undefined && Number.parseInt(version, 10) % 2 === 0)
      await shelf.answered(to, notice, { outcome: "taken" }, () => undefined);
  }
  console.log(version);
}
