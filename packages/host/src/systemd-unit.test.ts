import assert from "node:assert/strict";
import { access, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { InstallationName, installationLayout } from "@bulkhead/schema";
import { askCommand } from "./command.ts";
import { planServices } from "./service.ts";
import { renderTmpfiles, renderUnit, unitWord } from "./systemd-unit.ts";

const builds = { warden: "0", sensord: "0", broker: "0" };
const layout = installationLayout(InstallationName.parse("bulkhead"));
const packaging = join(import.meta.dirname, "..", "..", "..", "packaging", "systemd");

test("packaging/systemd holds what is rendered for the default installation", async () => {
  for (const service of planServices(layout, builds)) {
    const text = await readFile(join(packaging, `${service.unit}.service`), "utf8");
    assert.equal(text, renderUnit(service));
  }
  assert.equal(await readFile(join(packaging, "tmpfiles.conf"), "utf8"), renderTmpfiles(layout));
});

test("no unit may open a network socket beyond what it needs, and all come back", () => {
  const [warden = "", sensord = "", broker = ""] = planServices(layout, builds).map(renderUnit);
  assert.match(warden, /^RestrictAddressFamilies=AF_UNIX AF_NETLINK AF_PACKET AF_INET AF_INET6$/m);
  assert.match(warden, /^User=root$/m);
  for (const unit of [sensord, broker]) {
    assert.match(unit, /^User=bulkhead$/m);
    assert.match(unit, /^NoNewPrivileges=yes$/m);
    assert.match(unit, /^ProtectSystem=strict$/m);
    assert.match(unit, /^CapabilityBoundingSet=$/m);
    assert.match(unit, /^IPAddressDeny=any\nIPAddressAllow=localhost$/m);
  }
  for (const unit of [warden, sensord, broker]) assert.match(unit, /^Restart=always$/m);
  // A mount namespace of its own would hide warden's mounts from the container runtime.
  assert.doesNotMatch(
    warden,
    /^(Protect(System|Home|Kernel|Control|Proc)|Private|ReadWrite|ReadOnly|Inaccessible)/m,
  );
});

test("an installation's units carry its name alone", () => {
  const other = installationLayout(InstallationName.parse("edge-2"));
  const texts = planServices(other, builds).map((service) => `${service.unit}\n${renderUnit(service)}`);
  for (const text of texts) {
    assert.match(text, /^bulkhead-edge-2-/);
    assert.doesNotMatch(text, /\/bulkhead\/bulkhead/);
  }
});

test("a word that would need quoting is refused", () => {
  for (const word of ["", "a b", "$(id)", "a;b", "%n", "-rf /", "a\nb", '"']) {
    assert.throws(() => unitWord(word), RangeError);
  }
  assert.equal(unitWord("--installation"), "--installation");
});

test("systemd accepts the units", async (t) => {
  try {
    await access("/usr/bin/systemd-analyze");
  } catch {
    t.skip("systemd-analyze is not installed");
    return;
  }
  const dir = await mkdtemp(join(tmpdir(), "bulkhead-units-"));
  t.after(() => rm(dir, { recursive: true }));
  for (const service of planServices(layout, builds)) {
    const file = join(dir, `${service.unit}.service`);
    // The programs are not installed here; their place is taken by one that is.
    await writeFile(file, renderUnit({ ...service, argv: ["/bin/true", ...service.argv.slice(1)] }));
    const { exitCode, stderr } = await askCommand("systemd-analyze", ["verify", "--man=no", file]);
    const ours = stderr.split("\n").filter((line) => line.includes(service.unit));
    assert.deepEqual([exitCode, ours], [0, []], stderr);
  }
  const broken = join(dir, "bulkhead-broken.service");
  await writeFile(broken, "[Service]\nExecStart=true\nProtectSystem=sometimes\n");
  const { stderr } = await askCommand("systemd-analyze", ["verify", "--man=no", broken]);
  assert.match(stderr, /bulkhead-broken\.service/, "the check itself can fail");
});
