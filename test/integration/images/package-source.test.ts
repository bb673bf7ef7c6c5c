/** What a package's folder may be, and what the author is told where it is not. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import {
  BOOTSTRAPS,
  buildCatalogue,
  bundle,
  runCommand,
  type Bootstrap,
  type CataloguedPackage,
  type ImageFaultCode,
} from "@bulkhead/images";
import { rejectsWith, scratch, writePackage, type PackageOptions } from "./fixture.ts";

const smallest: Bootstrap = async (_plan, dir) => {
  await mkdir(join(dir, "usr/bin"), { recursive: true });
  await writeFile(join(dir, "usr/bin/tini"), "init");
  await chmod(join(dir, "usr/bin/tini"), 0o755);
  return { packages: [], filesOf: async () => new Map(), recordsOf: () => new Map() };
};

function build(dir: string): Promise<readonly CataloguedPackage[]> {
  return buildCatalogue({
    instrumentsDir: join(dir, "instruments"),
    catalogueDir: join(dir, "catalogue"),
    cacheDir: join(dir, "cache"),
    bootstraps: { ...BOOTSTRAPS, debian: smallest },
  });
}

const REFUSED: readonly (Omit<PackageOptions, "name"> & {
  readonly what: string;
  readonly code: ImageFaultCode;
})[] = [
  { what: "no YAML", code: "image-manifest", files: { "instrument.yaml": "a: [" } },
  { what: "an unknown key", code: "image-manifest", image: "{ base: debian, privileged: true }" },
  { what: "an option as a package", code: "image-manifest", image: '{ base: debian, packages: ["-oX"] }' },
  { what: "a file outside", code: "image-manifest", image: "{ base: debian, files: [../../etc/passwd] }" },
  { what: "a missing file", code: "image-file-missing", image: "{ base: debian, files: [./none] }" },
  {
    what: "an agent that does not compile",
    code: "image-bundle-failed",
    files: { "src/main.ts": "const = 1" },
  },
  {
    what: "an agent with a missing import",
    code: "image-bundle-failed",
    files: { "src/main.ts": 'import "./gone.ts"' },
  },
];

for (const { what, code, ...options } of REFUSED) {
  test(`refused, and nothing half-written: ${what}`, async () => {
    await using at = await scratch();
    await writePackage(join(at.dir, "instruments"), { name: "tiny", ...options });
    await rejectsWith(code, build(at.dir), what);
    assert.ok(!existsSync(join(at.dir, "catalogue", "tiny")));
  });
}

test("refused: a folder of another name, a schema that is no JSON, a link that leads out", async () => {
  await using at = await scratch();
  const folder = await writePackage(join(at.dir, "instruments"), { name: "tiny" });
  const manifest = (name: string, rest = ""): string =>
    `apiVersion: bulkhead/v1\nname: ${name}\nversion: 1.0.0\ntitle: T\nrole: helper\nimage: { base: debian, files: [./out] }\nrun: { command: [/x] }\nresources: { memory: 64MiB, cpu: 1, processes: 8 }\nneeds: []\n${rest}`;
  await writeFile(join(folder, "instrument.yaml"), manifest("other"));
  await rejectsWith("image-manifest", build(at.dir), "name");
  await writeFile(join(folder, "instrument.yaml"), manifest("tiny", "config: ./c.json\n"));
  await writeFile(join(folder, "c.json"), "{");
  await rejectsWith("image-config-schema", build(at.dir), "schema");
  await writeFile(join(folder, "c.json"), "{}");
  await symlink("/etc/passwd", join(folder, "out"));
  await rejectsWith("image-file-missing", build(at.dir), "link");
});

test("an image follows its agent, its files and its volumes; the same sources are left alone", async () => {
  await using at = await scratch();
  const folder = await writePackage(join(at.dir, "instruments"), { name: "tiny" });
  const digest = async (): Promise<string> => (await build(at.dir))[0]?.digest ?? "";
  const first = await digest();
  const [again] = await build(at.dir);
  assert.equal(again?.state, "unchanged");
  await writeFile(join(folder, "rules/own.rules"), "drop\n");
  const second = await digest();
  await writeFile(join(folder, "src/main.ts"), "console.log(2);\n");
  const third = await digest();
  assert.equal(new Set([first, second, third]).size, 3);
});

test("whatever the umask, others than root can read the catalogue, and the image is the same", async () => {
  await using at = await scratch();
  await writePackage(join(at.dir, "instruments"), { name: "tiny" });
  const digests: (string | undefined)[] = [];
  const former = process.umask();
  try {
    for (const umask of [0o022, 0o077]) {
      process.umask(umask);
      await rm(join(at.dir, "catalogue"), { recursive: true, force: true });
      await rm(join(at.dir, "cache"), { recursive: true, force: true });
      digests.push((await build(at.dir))[0]?.digest);
    }
  } finally {
    process.umask(former);
  }
  assert.equal(digests[0], digests[1]);
  const modes = await runCommand("find", [join(at.dir, "catalogue"), "-printf", "%m\n"]);
  assert.deepEqual(new Set(modes.toString("utf8").trim().split("\n")), new Set(["755", "644"]));
});

test("a bundle is the same bytes wherever its sources lie, and names the packages inside", async () => {
  await using at = await scratch();
  const bundles = await Promise.all(
    ["one", "another/place"].map(async (place) => {
      const dir = join(at.dir, place);
      await mkdir(join(dir, "src"), { recursive: true });
      await writeFile(join(dir, "package.json"), '{"name":"x","version":"1.2.3","license":"MIT"}');
      await writeFile(join(dir, "src/part.ts"), "export const where: string = import.meta.url;\n");
      await writeFile(join(dir, "src/main.ts"), 'import { where } from "./part.ts";\nconsole.log(where);\n');
      return bundle(join(dir, "src/main.ts"), { format: "cjs" });
    }),
  );
  const [one, other] = bundles;
  assert.ok(one !== undefined && other !== undefined);
  assert.ok(one.code.equals(other.code));
  assert.deepEqual(one.packages, [{ name: "x", version: "1.2.3", licence: "MIT" }]);
});
