/**
 * Where packages come from: the host's own apt sources, or what root wrote for Bulkhead in
 * /etc/bulkhead/mirrors.json, or the environment (for a single build), the last named first.
 *
 * No mirror is built in: a host that names none gets a fault that says what to write.
 */
import { readFile, readdir } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod";
import { findDebianArchive, type AptSourceFile, type DebianArchive } from "./apt-sources.ts";
import { ImageFault } from "./image-fault.ts";

const MIRRORS_FILE = "/etc/bulkhead/mirrors.json";
const Uri = z.string().regex(/^(?:https?|file):\/\/?[A-Za-z0-9][^\s"']*$|^\/[^\s"']+$/);

const MirrorsFile = z.strictObject({
  debian: z.strictObject({ main: Uri, security: Uri.optional() }).optional(),
  alpine: z
    .strictObject({
      /** The directory that holds `v3.22/main` and the like. */
      main: Uri,
      /** Public keys of the repository, as apk wants them (`*.rsa.pub`). */
      keysDir: z.string().startsWith("/").optional(),
      /** An apk or apk.static; looked up in PATH where left out. */
      apk: z.string().startsWith("/").optional(),
    })
    .optional(),
});
type MirrorsFile = z.infer<typeof MirrorsFile>;

export interface AlpineMirror {
  readonly main: string;
  readonly keysDir: string;
  readonly apk: string;
}

export interface MirrorOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly mirrorsFile?: string;
  readonly aptDir?: string;
}

/** @throws ImageFault image-mirror-unknown, image-mirrors-file */
export async function findDebianMirror(options: MirrorOptions = {}): Promise<DebianArchive> {
  const fromEnv = (options.env ?? process.env)["BULKHEAD_DEBIAN_MIRROR"];
  if (fromEnv !== undefined && fromEnv !== "") return { main: checkUri(fromEnv), security: null };
  const configured = (await readMirrors(options)).debian;
  if (configured !== undefined) {
    return { main: configured.main, security: configured.security ?? null };
  }
  const archive = findDebianArchive(await readAptSources(options.aptDir ?? "/etc/apt"));
  if (archive !== null) return archive;
  throw new ImageFault("image-mirror-unknown", "no Debian archive among this host's apt sources", {
    accepted: `BULKHEAD_DEBIAN_MIRROR, or ${MIRRORS_FILE} with {"debian":{"main":"URI"}}`,
  });
}

/** @throws ImageFault image-alpine-unavailable, image-mirrors-file */
export async function findAlpineMirror(options: MirrorOptions = {}): Promise<AlpineMirror> {
  const configured = (await readMirrors(options)).alpine;
  const fromEnv = (options.env ?? process.env)["BULKHEAD_ALPINE_MIRROR"];
  const main = fromEnv !== undefined && fromEnv !== "" ? checkUri(fromEnv) : configured?.main;
  if (main === undefined) {
    throw new ImageFault("image-alpine-unavailable", "no Alpine repository is configured", {
      accepted: `base: debian; or BULKHEAD_ALPINE_MIRROR, or ${MIRRORS_FILE} with {"alpine":{"main":"URI","keysDir":"DIR"}}, and apk`,
    });
  }
  return {
    main,
    keysDir: configured?.keysDir ?? "/etc/apk/keys",
    apk: configured?.apk ?? "apk",
  };
}

async function readMirrors(options: MirrorOptions): Promise<MirrorsFile> {
  const file = options.mirrorsFile ?? MIRRORS_FILE;
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return "{}";
    throw error;
  });
  try {
    return MirrorsFile.parse(JSON.parse(text));
  } catch (cause) {
    throw new ImageFault("image-mirrors-file", `${file} cannot be read: ${String(cause)}`, {
      accepted: `{"debian":{"main":"URI","security":"URI"},"alpine":{"main":"URI","keysDir":"DIR","apk":"FILE"}}`,
      cause,
    });
  }
}

function checkUri(value: string): string {
  const parsed = Uri.safeParse(value.replace(/\/+$/, ""));
  if (parsed.success) return parsed.data;
  throw new ImageFault("image-mirrors-file", `${value} is no address of a package mirror`, {
    accepted: "http://, https:// or file: and a path, without spaces or quotes",
  });
}

async function readAptSources(aptDir: string): Promise<readonly AptSourceFile[]> {
  const parts = join(aptDir, "sources.list.d");
  const names = await readdir(parts).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const paths = [
    join(aptDir, "sources.list"),
    ...names
      .filter((name) => /\.(?:list|sources)$/.test(name))
      .toSorted()
      .map((name) => join(parts, name)),
  ];
  return Promise.all(
    paths.map(async (name) => ({
      name,
      text: await readFile(name, "utf8").catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return "";
        throw error;
      }),
    })),
  );
}
