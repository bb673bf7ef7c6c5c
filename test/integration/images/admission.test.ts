/** Archives that must not be given to LXD, made by GNU tar from real trees (or byte by byte, where tar refuses). */
import assert from "node:assert/strict";
import { appendFile, chmod, link, mkdir, readdir, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { admitMetadata, admitRootfs, runCommand, type ImageFaultCode } from "@bulkhead/images";
import { rejectsWith, scratch } from "./fixture.ts";

async function goodTree(dir: string): Promise<string> {
  const tree = join(dir, "tree");
  for (const path of ["usr/bin", "opt/instrument", "opt/node", "data", "tmp"]) {
    await mkdir(join(tree, path), { recursive: true });
  }
  await writeFile(join(tree, "usr/bin/tool"), "#!/bin/false\n", { mode: 0o755 });
  await link(join(tree, "usr/bin/tool"), join(tree, "usr/bin/same"));
  await symlink("usr/bin", join(tree, "bin"));
  await symlink("/usr/bin/tool", join(tree, "usr/bin/absolute"));
  await symlink("agent.cjs", join(tree, "opt/instrument/current"));
  await writeFile(join(tree, `opt/instrument/${"long-".repeat(30)}`), "x");
  return tree;
}

/** By the names of what the root holds, as in our own archives: without an entry for the root itself. */
async function tarOf(tree: string, extra: readonly string[] = []): Promise<string> {
  const file = `${tree}.tar`;
  await runCommand("tar", ["--numeric-owner", ...extra, "-C", tree, "-cf", file, ...(await readdir(tree))]);
  return file;
}

test("a good tree is admitted, in each of tar's formats", async () => {
  for (const format of ["gnu", "pax"]) {
    await using at = await scratch();
    const file = await tarOf(await goodTree(at.dir), [`--format=${format}`]);
    const { entries, unpackedBytes } = await admitRootfs(file);
    assert.equal(entries, 13, format);
    assert.equal(unpackedBytes, 14, format);
  }
});

interface BadTree {
  readonly what: string;
  readonly code: ImageFaultCode;
  readonly spoil: (tree: string) => Promise<unknown>;
  readonly tar?: readonly string[];
}

const BAD_TREES: readonly BadTree[] = [
  {
    what: "a character device",
    code: "image-admission-device",
    spoil: (tree) => runCommand("mknod", [join(tree, "null"), "c", "1", "3"]),
  },
  {
    what: "a block device",
    code: "image-admission-device",
    spoil: (tree) => runCommand("mknod", [join(tree, "disk"), "b", "7", "0"]),
  },
  {
    what: "a named pipe",
    code: "image-admission-device",
    spoil: (tree) => runCommand("mkfifo", [join(tree, "pipe")]),
  },
  {
    what: "a setuid program",
    code: "image-admission-setuid",
    spoil: (tree) => chmod(join(tree, "usr/bin/tool"), 0o4755),
  },
  {
    what: "a setgid directory",
    code: "image-admission-setuid",
    spoil: (tree) => chmod(join(tree, "data"), 0o2755),
  },
  {
    what: "a file capability",
    code: "image-admission-file-capability",
    spoil: (tree) => runCommand("setcap", ["cap_net_raw+ep", join(tree, "usr/bin/tool")]),
    tar: ["--xattrs", "--xattrs-include=*", "--format=pax"],
  },
  {
    what: "a link that climbs out",
    code: "image-admission-link",
    spoil: (tree) => symlink("../../../etc/shadow", join(tree, "usr/bin/out")),
  },
  {
    what: "a link out of the package's own directory",
    code: "image-admission-link",
    spoil: (tree) => symlink("/etc/passwd", join(tree, "opt/instrument/out")),
  },
  {
    what: "a mount point that is a link",
    code: "image-admission-link",
    spoil: async (tree) => {
      await rm(join(tree, "data"), { recursive: true });
      await symlink("usr", join(tree, "data"));
    },
  },
  {
    what: "an owner that no instrument's namespace maps",
    code: "image-admission-owner",
    spoil: async () => {},
    tar: ["--owner=:70000"],
  },
  {
    what: "an absolute path",
    code: "image-admission-path",
    spoil: async () => {},
    tar: ["--absolute-names", "--transform=s,^usr/bin/tool$,/etc/tool,"],
  },
  {
    what: "a path with ..",
    code: "image-admission-path",
    spoil: async () => {},
    tar: ["--absolute-names", "--transform=s,^usr/bin/tool$,usr/../../tool,"],
  },
  {
    what: "a sparse file, which has a record type of its own",
    code: "image-admission-tar",
    spoil: async (tree) => {
      await writeFile(join(tree, "holes"), "x");
      await truncate(join(tree, "holes"), 8 << 20);
    },
    tar: ["--sparse", "--format=gnu"],
  },
];

for (const { what, code, spoil, tar } of BAD_TREES) {
  test(`refused: ${what}`, async () => {
    await using at = await scratch();
    const tree = await goodTree(at.dir);
    await admitRootfs(await tarOf(tree));
    await spoil(tree);
    const file = await tarOf(tree, tar);
    await rejectsWith(code, admitRootfs(file), what);
  });
}

/** Archives that no tree gives: made of several, one behind the other. */
const BAD_ARCHIVES: readonly {
  readonly what: string;
  readonly code: ImageFaultCode;
  readonly make: (one: string, other: string) => Promise<unknown>;
}[] = [
  {
    what: "an entry that would be written through a link",
    code: "image-admission-link",
    async make(one, other) {
      await symlink("/etc", join(one, "way"));
      await mkdir(join(other, "way"));
      await writeFile(join(other, "way/passwd"), "x");
    },
  },
  {
    what: "the same path twice, as a file and as a link",
    code: "image-admission-duplicate",
    async make(one, other) {
      await writeFile(join(one, "same"), "x");
      await symlink("/etc/shadow", join(other, "same"));
    },
  },
  {
    what: "a hard link to a link",
    code: "image-admission-link",
    async make(one) {
      await symlink("/etc/shadow", join(one, "a"));
      await link(join(one, "a"), join(one, "b"));
    },
  },
];

for (const { what, code, make } of BAD_ARCHIVES) {
  test(`refused: ${what}`, async () => {
    await using at = await scratch();
    const [one, other] = [join(at.dir, "one"), join(at.dir, "other")];
    await mkdir(one);
    await mkdir(other);
    await make(one, other);
    const file = await tarOf(one);
    const behind = (await runCommand("find", [other, "!", "-type", "d", "-printf", "%P\n"])).toString("utf8");
    for (const path of behind.trim().split("\n").filter(Boolean)) {
      await runCommand("tar", ["-C", other, "-rf", file, path]);
    }
    await rejectsWith(code, admitRootfs(file), what);
  });
}

test("refused: a hard link to a file of the host", async () => {
  await using at = await scratch();
  const tree = await goodTree(at.dir);
  const file = await tarOf(tree, ["--absolute-names", "--transform=flags=h;s,.*,/etc/shadow,"]);
  await rejectsWith("image-admission-link", admitRootfs(file));
});

test("refused: data behind the end, a cut archive, a changed header", async () => {
  await using at = await scratch();
  const tree = await goodTree(at.dir);
  const longer = await tarOf(tree);
  await admitRootfs(longer);
  await appendFile(longer, Buffer.alloc(512, 1));
  await rejectsWith("image-admission-tar", admitRootfs(longer), "data behind the end");
  const cut = await tarOf(tree);
  await truncate(cut, 1024);
  await rejectsWith("image-admission-tar", admitRootfs(cut), "cut");
  const changed = await tarOf(tree);
  await runCommand("dd", ["if=/dev/zero", `of=${changed}`, "bs=1", "count=1", "conv=notrunc"]);
  await rejectsWith("image-admission-tar", admitRootfs(changed), "changed");
});

test("metadata: templates are refused, as files and as a key", async () => {
  await using at = await scratch();
  const tree = join(at.dir, "metadata");
  const plain = "architecture: x86_64\ncreation_date: 1704067200\nproperties: { os: debian }\n";
  const made = async (yaml: string, withFile: boolean): Promise<string> => {
    await rm(tree, { recursive: true, force: true });
    await mkdir(join(tree, "templates"), { recursive: true });
    await writeFile(join(tree, "metadata.yaml"), yaml);
    await writeFile(join(tree, "templates/hostname.tpl"), "{{ container.name }}");
    const names = ["metadata.yaml", ...(withFile ? ["templates/hostname.tpl"] : [])];
    await runCommand("tar", ["-C", tree, "-cf", `${tree}.tar`, ...names]);
    return `${tree}.tar`;
  };
  await admitMetadata(await made(plain, false));
  await rejectsWith("image-admission-templates", admitMetadata(await made(plain, true)), "file");
  const keyed = `${plain}templates: { /etc/hostname: { when: [start], template: hostname.tpl } }\n`;
  await rejectsWith("image-admission-templates", admitMetadata(await made(keyed, false)), "key");
});
