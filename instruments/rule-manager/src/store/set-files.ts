/**
 * Set files: rendered sets, their line maps and the feeds' bytes on the volume, each under the hash of
 * its content. A file is there whole or not at all.
 */
import { createHash } from "node:crypto";
import { copyFile, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { LineMap } from "../ruleset/render.ts";

const NAME = /^[0-9a-f]{64}$/;

export function sha256Of(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

export class SetFiles {
  readonly #setsDir: string;
  readonly #feedsDir: string;

  private constructor(dir: string) {
    this.#setsDir = join(dir, "sets");
    this.#feedsDir = join(dir, "feeds");
  }

  static async open(dir: string): Promise<SetFiles> {
    const files = new SetFiles(dir);
    for (const each of [files.#setsDir, files.#feedsDir]) await mkdir(each, { recursive: true });
    return files;
  }

  /** Returns the hash of the text. */
  async keepSet(text: string, places: LineMap): Promise<string> {
    const sha256 = sha256Of(text);
    await writeWhole(join(this.#setsDir, `${sha256}.map`), JSON.stringify(places));
    await writeWhole(join(this.#setsDir, sha256), text);
    return sha256;
  }

  readSet(sha256: string): Promise<string> {
    return readFile(join(this.#setsDir, checked(sha256)), "utf8");
  }

  async readPlaces(sha256: string): Promise<LineMap> {
    return LineMap.parse(JSON.parse(await readFile(join(this.#setsDir, `${checked(sha256)}.map`), "utf8")));
  }

  /** Copies what was delivered, so that it is there when its publisher has a newer one. */
  async keepFeed(path: string, sha256: string): Promise<void> {
    const target = this.feedPath(sha256);
    await copyFile(path, `${target}.next`);
    await sync(`${target}.next`);
    await rename(`${target}.next`, target);
  }

  feedPath(sha256: string): string {
    return join(this.#feedsDir, checked(sha256));
  }

  /** Removes what nothing refers to any more. */
  async clean(sets: ReadonlySet<string>, feeds: ReadonlySet<string>): Promise<void> {
    for (const [dir, kept] of [
      [this.#setsDir, sets],
      [this.#feedsDir, feeds],
    ] as const) {
      for (const name of await readdir(dir)) {
        if (!kept.has(name.split(".")[0] ?? "")) await rm(join(dir, name), { force: true });
      }
    }
  }
}

function checked(sha256: string): string {
  if (!NAME.test(sha256)) throw new TypeError(`no hash: ${sha256.slice(0, 80)}`);
  return sha256;
}

async function writeWhole(path: string, content: string): Promise<void> {
  const next = `${path}.next`;
  await using file = await open(next, "w", 0o600);
  await file.writeFile(content);
  await file.sync();
  await rename(next, path);
}

async function sync(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}
