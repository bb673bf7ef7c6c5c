/**
 * Admission: whether an image may be given to LXD at all. Refused are device nodes, setuid and
 * setgid bits, file capabilities and other extended attributes, templates (LXD runs them on the
 * host), links that leave their place, and archives that two readers could read differently.
 *
 * The builder strips all of this before; admission does not trust the builder, nor repair.
 */
import { readFile } from "node:fs/promises";
import * as z from "zod";
import { parse } from "yaml";
import { ImageFault, type ImageFaultCode } from "./image-fault.ts";
import { readTarFile, type TarEntry } from "./tar-reader.ts";

/** Ids that an instrument's user namespace can map. */
const IDS = 65_536;
/** Where the platform mounts things: real directories, never links that lead a mount elsewhere. */
const MOUNT_POINTS =
  /^(?:dev|dev\/shm|proc|sys|tmp|run|opt|opt\/node|opt\/instrument|data(?:\/.*)?|inbox|resources)$/;
/** A directory of the package's own: its links stay inside. */
const OWN = "opt/instrument";

export interface Admitted {
  readonly entries: number;
  /** Sum of the files' sizes. */
  readonly unpackedBytes: number;
}

/** @throws ImageFault image-admission-*: the first thing found that must not be. */
export async function admitRootfs(file: string): Promise<Admitted> {
  const kinds = new Map<string, TarEntry["kind"]>();
  let unpackedBytes = 0;
  for await (const entry of readTarFile(file)) {
    const path = requirePath(entry);
    requireKind(entry);
    requireBits(entry);
    requireParents(path, kinds);
    requireLinks(path, entry, kinds);
    kinds.set(path, entry.kind);
    unpackedBytes += entry.sizeBytes;
  }
  return { entries: kinds.size, unpackedBytes };
}

/** @throws ImageFault image-admission-templates, image-admission-tar */
export async function admitMetadata(file: string): Promise<void> {
  const names: string[] = [];
  for await (const entry of readTarFile(file)) names.push(`${entry.kind} ${entry.path}`);
  if (names.length !== 1 || names[0] !== "file metadata.yaml") {
    throw refuse(
      "image-admission-templates",
      `it holds ${names.join(", ") || "nothing"}`,
      "metadata.yaml alone",
    );
  }
  const archive = await readFile(file);
  const size = Number.parseInt(archive.toString("latin1", 124, 135), 8);
  const document = Metadata.safeParse(parse(archive.toString("utf8", 512, 512 + size)));
  if (document.success) return;
  throw refuse("image-admission-templates", document.error.message, "metadata without templates");
}

/** metadata.yaml of an LXD image (doc/image-handling): nothing beyond what is needed, so no `templates`. */
const Metadata = z.strictObject({
  architecture: z.string(),
  creation_date: z.int().positive(),
  properties: z.record(z.string(), z.string()),
});

function requirePath(entry: TarEntry): string {
  const path = entry.path.replace(/^(?:\.\/)+/, "").replace(/\/+$/, "");
  const parts = path.split("/");
  if (
    path === "" ||
    path.startsWith("/") ||
    parts.some((part) => part === "" || part === "." || part === "..")
  ) {
    throw refuse(
      "image-admission-path",
      `an entry is called ${JSON.stringify(entry.path)}`,
      "relative paths without ..",
    );
  }
  return path;
}

function requireKind(entry: TarEntry): void {
  if (entry.kind === "unknown" || entry.kind === "global") {
    throw refuse(
      "image-admission-tar",
      `${entry.path} is a record of kind ${entry.kind}`,
      "files, directories and links",
    );
  }
  if (entry.kind.endsWith("-device") || entry.kind === "fifo") {
    throw refuse(
      "image-admission-device",
      `${entry.path} is a ${entry.kind}`,
      "files, directories and links",
    );
  }
  if (entry.kind !== "file" && entry.sizeBytes !== 0) {
    throw refuse(
      "image-admission-tar",
      `${entry.path} is a ${entry.kind} with content`,
      "content in files alone",
    );
  }
}

function requireBits(entry: TarEntry): void {
  if ((entry.mode & 0o6000) !== 0) {
    throw refuse(
      "image-admission-setuid",
      `${entry.path} has mode ${entry.mode.toString(8)}`,
      "no setuid or setgid bit",
    );
  }
  const [attribute] = entry.attributes;
  if (attribute !== undefined) {
    throw refuse(
      "image-admission-file-capability",
      `${entry.path} carries ${attribute}`,
      "no extended attributes",
    );
  }
  if (![entry.uid, entry.gid].every((id) => Number.isInteger(id) && id >= 0 && id < IDS)) {
    throw refuse(
      "image-admission-owner",
      `${entry.path} is owned by ${entry.uid}:${entry.gid}`,
      `ids below ${IDS}`,
    );
  }
}

/** An entry whose parent is a link would be written wherever that leads. */
function requireParents(path: string, kinds: ReadonlyMap<string, TarEntry["kind"]>): void {
  if (kinds.has(path)) throw refuse("image-admission-duplicate", `${path} comes twice`, "each path once");
  for (let at = path.indexOf("/"); at > 0; at = path.indexOf("/", at + 1)) {
    const parent = kinds.get(path.slice(0, at));
    if (parent !== undefined && parent !== "directory") {
      throw refuse("image-admission-link", `${path} lies below a ${parent}`, "directories as parents");
    }
  }
}

function requireLinks(path: string, entry: TarEntry, kinds: ReadonlyMap<string, TarEntry["kind"]>): void {
  if (MOUNT_POINTS.test(path) && entry.kind !== "directory") {
    throw refuse(
      "image-admission-link",
      `${path} is a ${entry.kind}`,
      "a directory: the platform mounts there",
    );
  }
  if (entry.kind === "link" && kinds.get(entry.target.replace(/^(?:\.\/)+/, "")) !== "file") {
    throw refuse(
      "image-admission-link",
      `${path} is a hard link to ${entry.target}`,
      "a file that came before it",
    );
  }
  if (entry.kind !== "symlink") return;
  const led = resolveLink(path, entry.target);
  if (led === null) {
    throw refuse(
      "image-admission-link",
      `${path} leads out of the image: ${entry.target}`,
      "a target inside the image",
    );
  }
  const isOwn = path.startsWith(`${OWN}/`);
  if (isOwn && led !== OWN && !led.startsWith(`${OWN}/`)) {
    throw refuse(
      "image-admission-link",
      `${path} leads out of /${OWN}: ${entry.target}`,
      `a target below /${OWN}`,
    );
  }
}

/** Where a symlink leads by its words, relative to the image's root; null where it climbs out of it. */
export function resolveLink(path: string, target: string): string | null {
  const parts = target.startsWith("/") ? [] : path.split("/").slice(0, -1);
  for (const part of target.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return null;
  }
  return parts.join("/");
}

function refuse(code: ImageFaultCode, what: string, accepted: string): ImageFault {
  return new ImageFault(code, `the image is refused: ${what}`, { accepted });
}
