/**
 * Second stage of an image: the base's archive with the instrument's own on top, as an LXD split
 * image (metadata.tar and rootfs.tar without prefix, LXD doc/image-handling), admitted and hashed.
 *
 * The same inputs give the same digest. Only /opt/instrument and the directories for the volumes
 * are added here; nothing of the base is changed.
 */
import { constants } from "node:fs";
import { appendFile, copyFile, readFile, realpath, stat, truncate, writeFile } from "node:fs/promises";
import { join, sep } from "node:path";
import type { Manifest } from "@bulkhead/schema";
import { stringify } from "yaml";
import { admitMetadata, admitRootfs } from "./admission.ts";
import type { BaseImage } from "./base-image.ts";
import { digestOf } from "./base-plan.ts";
import type { Bundle } from "./bundle.ts";
import { ensureEntry } from "./cache-entry.ts";
import { sha256, sha256File, sha256Files } from "./digest.ts";
import { ImageFault } from "./image-fault.ts";
import type { ImageRecord } from "./image-record.ts";
import { renderSbom } from "./sbom.ts";
import { MOUNT_POINTS } from "./skeleton.ts";
import { FIXED_TIME_S, readTree, renderTar, type TarItem } from "./tar.ts";

export interface ImageInput {
  readonly manifest: Manifest;
  /** The package's folder; the recipe's files are relative to it. */
  readonly packageDir: string;
  readonly base: BaseImage;
  readonly agent: Bundle | null;
  readonly cacheDir: string;
}

export interface InstrumentImage {
  /** Directory with metadata.tar, rootfs.tar, sbom.json. */
  readonly dir: string;
  readonly record: Omit<ImageRecord, "sourceKey">;
}

/** Two zero blocks end an archive (POSIX pax, "end-of-archive indicator"). */
const END_BYTES = 1024;
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** @throws ImageFault image-file-missing, image-admission-* */
export async function ensureImage(input: ImageInput): Promise<InstrumentImage> {
  const { manifest, base } = input;
  const overlay = await renderTar(await overlayItems(input), new Set(MOUNT_POINTS));
  const metadata = await renderTar(new Map([["metadata.yaml", metadataItem(manifest, base)]]));
  const sbom = renderSbom({
    name: manifest.name,
    version: manifest.version,
    base: base.plan.base,
    suite: base.plan.suite,
    packages: base.packages,
    npm: input.agent?.packages ?? [],
  });
  const key = digestOf([base.sha256, sha256(overlay), sha256(metadata), sha256(sbom)]);
  const dir = join(input.cacheDir, "images", `image-${key}`);
  await ensureEntry(dir, async (work) => {
    const rootfs = join(work, "rootfs.tar");
    await copyFile(base.rootfsFile, rootfs, constants.COPYFILE_FICLONE);
    await truncate(rootfs, base.sizeBytes - END_BYTES);
    await appendFile(rootfs, overlay);
    await writeFile(join(work, "metadata.tar"), metadata);
    await writeFile(join(work, "sbom.json"), sbom);
    const record = await admit(input, work);
    await writeFile(join(work, "record.json"), JSON.stringify(record));
  });
  return { dir, record: await readRecord(dir) };
}

async function admit(input: ImageInput, dir: string): Promise<InstrumentImage["record"]> {
  const { manifest, base, agent } = input;
  const metadata = join(dir, "metadata.tar");
  const rootfs = join(dir, "rootfs.tar");
  await admitMetadata(metadata);
  const { unpackedBytes } = await admitRootfs(rootfs);
  const archive = async (file: string) => ({
    file,
    sha256: await sha256File(join(dir, file)),
    sizeBytes: (await stat(join(dir, file))).size,
  });
  return {
    formatVersion: 1,
    package: manifest.name,
    version: manifest.version,
    digest: await sha256Files([metadata, rootfs]),
    base: base.plan.base,
    suite: base.plan.suite,
    architecture: architecture(),
    metadata: await archive("metadata.tar"),
    rootfs: await archive("rootfs.tar"),
    unpackedBytes,
    init: "/usr/bin/tini",
    setpriv: manifest.run.capabilities.includes("NET_RAW") ? "/usr/bin/setpriv" : null,
    node: base.plan.node,
    agent: agent === null ? null : "/opt/instrument/agent.cjs",
  };
}

async function readRecord(dir: string): Promise<InstrumentImage["record"]> {
  // Written by ensureImage, into a directory that root alone writes.
  return JSON.parse(await readFile(join(dir, "record.json"), "utf8")) as InstrumentImage["record"];
}

async function overlayItems(input: ImageInput): Promise<Map<string, TarItem>> {
  const { manifest, packageDir, agent } = input;
  const items = new Map<string, TarItem>();
  if (agent !== null) items.set("opt/instrument/agent.cjs", { kind: "file", content: agent.code });
  for (const need of manifest.needs) {
    if (need.kind === "storage.persistent" || need.kind === "storage.transient") {
      items.set(`data/${need.id}`, { kind: "directory" });
    }
  }
  for (const named of manifest.image.files) {
    const path = named.replace(/^\.\//, "");
    for (const [file, item] of await packageFiles(packageDir, path)) {
      items.set(`opt/instrument/files/${file}`, item);
    }
  }
  return items;
}

/** A file, or a directory with all in it, of the package's folder; never by a link that leaves it. */
async function packageFiles(packageDir: string, path: string): Promise<Map<string, TarItem>> {
  const root = await realpath(packageDir);
  const file = await realpath(join(root, path)).catch((cause: Error) => {
    throw new ImageFault("image-file-missing", `the recipe names ${path}, which is not in ${packageDir}`, {
      accepted: "files and directories of the package's folder",
      cause,
    });
  });
  if (!file.startsWith(`${root}${sep}`)) {
    throw new ImageFault("image-file-missing", `${path} leads out of ${packageDir}`, {
      accepted: "files and directories of the package's folder",
    });
  }
  const found = await stat(file);
  if (!found.isDirectory()) {
    const mode = (found.mode & 0o111) === 0 ? 0o644 : 0o755;
    return new Map([[path, { kind: "on-disk", mode, file, inode: "" }]]);
  }
  const below = await readTree(file, () => true);
  return new Map([...below].map(([name, item]) => [`${path}/${name}`, portable(item)]));
}

/** A checkout's umask and hard links are no part of an image. */
function portable(item: TarItem): TarItem {
  if (item.kind === "directory") return { kind: "directory" };
  if (item.kind !== "on-disk") return item;
  return { ...item, mode: (item.mode & 0o111) === 0 ? 0o644 : 0o755, inode: "" };
}

function metadataItem(manifest: Manifest, base: BaseImage): TarItem {
  return {
    kind: "file",
    content: stringify({
      architecture: architecture(),
      creation_date: FIXED_TIME_S,
      properties: {
        architecture: architecture(),
        description: `${manifest.title} ${manifest.version}`,
        name: manifest.name,
        os: base.plan.base,
        release: base.plan.suite,
      },
    }),
  };
}

function architecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}
