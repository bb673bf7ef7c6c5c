/** The common path of both bases, fed by a bootstrap (a port) that leaves everything behind that must not get in. */
import assert from "node:assert/strict";
import { chmod, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { test } from "node:test";
import {
  BOOTSTRAPS,
  admitRootfs,
  buildCatalogue,
  findAlpineMirror,
  findDebianMirror,
  readImageRecord,
  runCommand,
  type Bootstrap,
} from "@bulkhead/images";
import { rejectsWith, scratch, writePackage } from "./fixture.ts";

const INSTALLED = "lib/apk/db/installed";
const DATABASE =
  "P:tini\nV:0.19.0-r3\nA:x86_64\nL:MIT\nF:sbin\nR:tini\n\nP:tzdata\nV:1\nA:noarch\nF:usr/share/odd\nR:zone\n\n";

/** A tree like Alpine's, with a device, a setuid program, a file capability and the build host's traces. */
const spoiltAlpine: Bootstrap = async (_plan, dir) => {
  const files = {
    "usr/bin/tini": "init",
    "usr/bin/node": "node",
    "usr/bin/su": "su",
    "usr/bin/raw": "raw",
    "usr/share/odd/zone": "zone",
    "etc/apk/repositories": "http://secret.example",
    "etc/resolv.conf": "nameserver 192.0.2.1",
    [INSTALLED]: DATABASE,
  };
  for (const [path, content] of Object.entries(files)) {
    await mkdir(join(dir, dirname(path)), { recursive: true });
    await writeFile(join(dir, path), content, { mode: 0o755 });
  }
  await chmod(join(dir, "usr/bin/su"), 0o4755);
  await runCommand("setcap", ["cap_net_raw+ep", join(dir, "usr/bin/raw")]);
  await runCommand("mknod", [join(dir, "usr/bin/null"), "c", "1", "3"]);
  await symlink("usr", join(dir, "data"));
  return {
    packages: ["tini", "tzdata"].map((name) => ({
      kind: "apk" as const,
      name,
      version: "1",
      architecture: "x86_64",
      source: name,
      description: "",
      homepage: null,
      licence: "MIT",
      depends: name === "tini" ? ["tzdata"] : [],
      provides: [],
    })),
    filesOf: async (names) =>
      new Map(names.map((name) => [name, name === "tzdata" ? ["usr/share/odd/zone"] : []])),
    recordsOf: (kept) => new Map([[INSTALLED, [...kept].join("\n")]]),
  };
};

test("one path builds both bases, strips what must not get in, and admits the result", async () => {
  await using at = await scratch();
  await writePackage(at.dir, { name: "tiny", image: "{ base: alpine, trim: true }" });
  const catalogueDir = join(at.dir, "catalogue");
  const [built] = await buildCatalogue({
    instrumentsDir: at.dir,
    catalogueDir,
    cacheDir: join(at.dir, "cache"),
    bootstraps: { ...BOOTSTRAPS, alpine: spoiltAlpine },
  });
  assert.equal(built?.state, "built");
  const rootfs = join(catalogueDir, "tiny", "rootfs.tar");
  await admitRootfs(rootfs);
  const listed = (await runCommand("tar", ["--numeric-owner", "-tvf", rootfs])).toString("utf8");
  const lines = new Map(
    listed
      .trim()
      .split("\n")
      .map((line) => [line.split(/ +/)[5] ?? "", line] as const),
  );
  assert.match(lines.get("usr/bin/su") ?? "", /^-rwxr-xr-x 0\/0/);
  assert.match(lines.get("data/") ?? "", /^drwxr-xr-x 0\/0/);
  assert.match(lines.get("tmp/") ?? "", /^drwxrwxrwt 0\/0/);
  assert.match(lines.get("opt/node/bin/node") ?? "", /-> \.\.\/\.\.\/\.\.\/usr\/bin\/node$/);
  for (const path of ["data/store/", "data/scratch/", "inbox/", "opt/instrument/agent.cjs"]) {
    assert.ok(lines.has(path), path);
  }
  for (const path of ["usr/bin/null", "etc/apk/repositories", "usr/share/odd/zone", "usr/share/odd/"]) {
    assert.ok(!lines.has(path), path);
  }
  assert.equal((await readImageRecord(join(catalogueDir, "tiny")))?.node, "image");
});

test("a base without an init is refused", async () => {
  await using at = await scratch();
  await writePackage(at.dir, { name: "tiny" });
  const empty: Bootstrap = async (_plan, dir) => {
    await mkdir(join(dir, "usr/bin"), { recursive: true });
    return { packages: [], filesOf: async () => new Map(), recordsOf: () => new Map() };
  };
  await rejectsWith(
    "image-program-missing",
    buildCatalogue({
      instrumentsDir: at.dir,
      catalogueDir: join(at.dir, "catalogue"),
      cacheDir: join(at.dir, "cache"),
      bootstraps: { ...BOOTSTRAPS, debian: empty },
    }),
  );
});

test("mirrors: the environment, then Bulkhead's own file, then the host's apt sources", async () => {
  await using at = await scratch();
  const mirrorsFile = join(at.dir, "mirrors.json");
  const aptDir = join(at.dir, "apt");
  await mkdir(aptDir);
  await rejectsWith("image-mirror-unknown", findDebianMirror({ env: {}, mirrorsFile, aptDir }));
  const none = await rejectsWith("image-alpine-unavailable", findAlpineMirror({ env: {}, mirrorsFile }));
  assert.match(none.accepted, /BULKHEAD_ALPINE_MIRROR/);

  await writeFile(join(aptDir, "sources.list"), "deb http://host.example/debian bookworm main\n");
  assert.equal((await findDebianMirror({ env: {}, mirrorsFile, aptDir })).main, "http://host.example/debian");
  const own = {
    debian: { main: "http://own.example/debian" },
    alpine: { main: "http://own.example/alpine", keysDir: "/keys" },
  };
  await writeFile(mirrorsFile, JSON.stringify(own));
  assert.equal((await findDebianMirror({ env: {}, mirrorsFile, aptDir })).main, "http://own.example/debian");
  assert.deepEqual(await findAlpineMirror({ env: {}, mirrorsFile }), {
    main: "http://own.example/alpine",
    keysDir: "/keys",
    apk: "apk",
  });
  const env = {
    BULKHEAD_DEBIAN_MIRROR: "http://env.example/debian/",
    BULKHEAD_ALPINE_MIRROR: "http://env.example/alpine",
  };
  assert.equal((await findDebianMirror({ env, mirrorsFile, aptDir })).main, "http://env.example/debian");
  assert.equal((await findAlpineMirror({ env, mirrorsFile })).main, "http://env.example/alpine");

  for (const bad of ["ftp:x", 'http://a.example/"; DPkg::x "', "http://a.example/ b"]) {
    const odd = { BULKHEAD_DEBIAN_MIRROR: bad };
    await rejectsWith("image-mirrors-file", findDebianMirror({ env: odd, mirrorsFile, aptDir }), bad);
  }
  await writeFile(mirrorsFile, '{"debian":{"uri":"x"}}');
  await rejectsWith("image-mirrors-file", findDebianMirror({ env: {}, mirrorsFile, aptDir }), "unknown key");
});
