/**
 * Inboxes: files that the platform delivers to an instrument, in a directory of the platform's that the container
 * sees read-only at /inbox.
 *
 * Invariants: a version appears whole or not at all, and never changes; every file is what its hash says; `current`
 * names the last delivered version, and the one before it stays, so that an instrument can finish with what it reads.
 * Nothing here follows a path that an instrument can write.
 */
import { createHash } from "node:crypto";
import {
  chmod,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  symlink,
} from "node:fs/promises";
import { dirname, join, relative, sep } from "node:path";
import { type InstallationLayout, Name, type Observed, type SiteFile } from "@bulkhead/schema";
import { WardenError, type WardenErrorFields } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";

export interface Delivery {
  readonly instrument: string;
  /** Names the content; letters, digits, dot, dash and underscore. */
  readonly version: string;
  readonly files: readonly SiteFile[];
  /** Root-owned directory that the files' names are relative to. */
  readonly siteDir: string;
}

export interface Inboxes {
  /** The directory that a container gets; there once `prepare` or `put` was called. Pure. */
  dir(instrument: string): string;
  /** Makes the directory, empty, if there is none: a container needs it at its start. */
  prepare(instrument: string): Promise<void>;
  /**
   * Delivers one version and makes it the current one.
   * @throws WardenError `inbox-file-missing`, `inbox-file-differs`, `inbox-name-refused`, `inbox-no-space`
   */
  put(delivery: Delivery): Promise<void>;
  remove(instrument: string): Promise<void>;
  /** The current version of each inbox that has one. */
  observe(): Promise<Observed["inboxes"]>;
}

const VERSION = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/;
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;
const CURRENT = "current";

export function inboxes(places: Pick<InstallationLayout, "inboxDir">): Inboxes {
  const dir = (instrument: string) => join(places.inboxDir, Name.parse(instrument));
  const prepare = async (instrument: string): Promise<void> => {
    await mkdir(dir(instrument), { recursive: true, mode: 0o755 });
    await chmod(dir(instrument), 0o755);
  };
  return {
    dir,
    prepare,
    async put(delivery) {
      if (!VERSION.test(delivery.version) || delivery.version === CURRENT) {
        throw failure("inbox-name-refused", delivery, { version: delivery.version });
      }
      await prepare(delivery.instrument);
      const inbox = dir(delivery.instrument);
      const before = await currentOf(inbox);
      if (before === delivery.version && (await isIntact(join(inbox, before), delivery))) return;
      await writeVersion(inbox, delivery);
      await pointTo(inbox, delivery.version);
      for (const entry of await readdir(inbox)) {
        if (![CURRENT, delivery.version, before].includes(entry))
          await rm(join(inbox, entry), { recursive: true });
      }
      await syncDir(inbox);
    },
    async remove(instrument) {
      await rm(dir(instrument), { recursive: true, force: true });
    },
    async observe() {
      const entries = (await readdir(places.inboxDir).catch(nullIfMissing)) ?? [];
      const found: { instrument: string; version: string }[] = [];
      for (const instrument of entries.filter((entry) => Name.safeParse(entry).success)) {
        const version = await currentOf(dir(instrument));
        if (version !== null) found.push({ instrument, version });
      }
      return found;
    },
  };
}

/** Written aside, flushed, and then given its name. A version that is already there whole is kept as it is. */
async function writeVersion(inbox: string, delivery: Delivery): Promise<void> {
  const path = join(inbox, delivery.version);
  const aside = `${path}.tmp`;
  await rm(aside, { recursive: true, force: true });
  if (await isIntact(path, delivery)) return;
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(aside, { recursive: true, force: true }));
  try {
    await mkdir(aside, { mode: 0o755 });
    for (const file of delivery.files) await copyChecked(file, delivery, aside);
    await syncDir(aside);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "ENOSPC")) throw cause;
    throw failure("inbox-no-space", delivery, {}, cause);
  }
  await rm(path, { recursive: true, force: true });
  await rename(aside, path);
}

async function copyChecked(file: SiteFile, delivery: Delivery, aside: string): Promise<void> {
  const content = await readSiteFile(file.name, delivery);
  if (sha256(content) !== file.sha256) throw failure("inbox-file-differs", delivery, { file: file.name });
  const target = join(aside, file.name);
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  await using handle = await open(target, "wx", 0o644);
  await handle.writeFile(content);
  await handle.sync();
}

async function readSiteFile(name: string, delivery: Delivery): Promise<Buffer> {
  if (!FILE_NAME.test(name)) throw failure("inbox-name-refused", delivery, { file: name });
  const root = await realpath(delivery.siteDir);
  const path = await realpath(join(root, name)).catch((cause: unknown) => {
    throw failure("inbox-file-missing", delivery, { file: name }, cause);
  });
  if (relative(root, path).split(sep)[0] === "..") {
    throw failure("inbox-name-refused", delivery, { file: name });
  }
  return readFile(path);
}

/** Whether `path` holds exactly the delivery's files, each with its hash. */
async function isIntact(path: string, delivery: Delivery): Promise<boolean> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(nullIfMissing);
  if (entries === null) return false;
  const present = entries.filter((e) => !e.isDirectory());
  if (present.length !== delivery.files.length || !present.every((e) => e.isFile())) return false;
  for (const { name, sha256: wanted } of delivery.files) {
    if (!FILE_NAME.test(name)) return false;
    const content = await readFile(join(path, name)).catch(nullIfMissing);
    if (content === null || sha256(content) !== wanted) return false;
  }
  return true;
}

async function currentOf(inbox: string): Promise<string | null> {
  return readlink(join(inbox, CURRENT)).catch(nullIfMissing);
}

async function pointTo(inbox: string, version: string): Promise<void> {
  const aside = join(inbox, `${CURRENT}.tmp`);
  await rm(aside, { force: true });
  await symlink(version, aside);
  await rename(aside, join(inbox, CURRENT));
}

async function syncDir(dir: string): Promise<void> {
  await using handle = await open(dir, "r");
  await handle.sync();
}

function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

const MESSAGES = {
  "inbox-name-refused": "a name that cannot be delivered",
  "inbox-file-missing": "a file that the site names is not there",
  "inbox-file-differs": "a file is not what the site was accepted with",
  "inbox-no-space": "no space for the delivery",
} as const;

function failure(
  code: keyof typeof MESSAGES,
  delivery: Delivery,
  fields: WardenErrorFields,
  cause?: unknown,
): WardenError {
  const what = Object.values(fields).join(" ");
  const message = `inbox of ${delivery.instrument}: ${MESSAGES[code]}${what && `: ${what}`}`;
  return new WardenError(code, message, {
    fields: { instrument: delivery.instrument, ...fields },
    ...(cause === undefined ? {} : { cause }),
  });
}
