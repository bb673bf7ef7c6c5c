/** A trimmed base with a real tool in it still runs that tool, as the user that an instrument has. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { buildCatalogue, readImageRecord, runCommand } from "@bulkhead/images";
import { scratch, writePackage } from "./fixture.ts";

test("suricata, trimmed: no interpreter and no package manager, and it checks its rules", async () => {
  await using at = await scratch();
  await writePackage(join(at.dir, "instruments"), {
    name: "ids",
    image: "{ base: debian, packages: [suricata], trim: true }",
    run: "{ command: [/usr/bin/suricata], capabilities: [NET_RAW] }",
  });
  const catalogueDir = join(at.dir, "catalogue");
  await buildCatalogue({
    instrumentsDir: join(at.dir, "instruments"),
    catalogueDir,
    cacheDir: join(at.dir, "cache"),
  });
  assert.equal((await readImageRecord(join(catalogueDir, "ids")))?.setpriv, "/usr/bin/setpriv");

  const tree = join(at.dir, "tree");
  await mkdir(tree);
  await runCommand("tar", ["-C", tree, "-xf", join(catalogueDir, "ids", "rootfs.tar")]);
  const inside = async (...argv: readonly string[]): Promise<string> =>
    (await runCommand("chroot", [tree, ...argv])).toString("utf8");
  assert.match(await inside("/usr/bin/suricata", "--build-info"), /AF_PACKET support:\s+yes/);
  const asInstrument = [
    "/usr/bin/setpriv",
    "--reuid=1000",
    "--regid=1000",
    "--clear-groups",
    "--no-new-privs",
    "--",
  ];
  const check = ["/usr/bin/suricata", "-T", "-c", "/etc/suricata/suricata.yaml", "-l", "/tmp", "-S"];
  await inside(...asInstrument, ...check, "/etc/suricata/rules/dns-events.rules");
  await assert.rejects(inside(...asInstrument, ...check, "/etc/suricata/suricata.yaml"));

  const listed = (await runCommand("find", [join(tree, "usr"), "-printf", "%P\n"])).toString("utf8");
  assert.doesNotMatch(listed, /^bin\/(?:python3|dpkg|perl|mount|su)$/m);
  assert.doesNotMatch(listed, /\/(?:gconv|zoneinfo)\//);
});
