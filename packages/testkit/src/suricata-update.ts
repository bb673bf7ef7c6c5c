/**
 * suricata-update of the distribution, unpacked into a directory of its own and run by the host's
 * Python: what rule sets are compared with. Nothing is installed.
 *
 * It has no network: its sources are files.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { runCommand } from "./command.ts";

/** Its configuration files, as text. */
export interface UpdateConf {
  readonly enable?: string;
  readonly disable?: string;
  readonly drop?: string;
  readonly modify?: string;
}

export interface UpdateRun {
  /** suricata.rules as it wrote it. */
  readonly text: string;
  readonly durationMs: number;
}

export class SuricataUpdate {
  /** As the package has it. */
  readonly version: string;
  readonly #root: string;
  readonly #dir: string;
  #runs = 0;

  private constructor(dir: string, root: string, version: string) {
    this.#dir = dir;
    this.#root = root;
    this.version = version;
  }

  /** Unpacks the package `suricata-update` below `dir`. */
  static async unpack(dir: string): Promise<SuricataUpdate> {
    const root = join(dir, "suricata-update");
    await mkdir(root, { recursive: true });
    await runCommand("env", ["-C", root, "apt-get", "download", "-q", "suricata-update"], {
      timeoutMs: 120_000,
    });
    const [archive = ""] = (await readdir(root)).filter((name) => name.endsWith(".deb"));
    await runCommand("dpkg-deb", ["-x", join(root, archive), root]);
    return new SuricataUpdate(dir, root, archive.split("_")[1] ?? "");
  }

  /** Combines feeds (.rules or .tar.gz) and local files. */
  async combine(
    feeds: readonly string[],
    local: readonly string[],
    conf: UpdateConf = {},
  ): Promise<UpdateRun> {
    const work = join(this.#dir, `run-${(this.#runs += 1)}`);
    await mkdir(work);
    const args = [
      "--force",
      "--quiet",
      "--no-test",
      "--no-reload",
      "-D",
      join(work, "data"),
      "-o",
      join(work, "out"),
    ];
    for (const kind of ["enable", "disable", "drop", "modify"] as const) {
      const file = join(work, `${kind}.conf`);
      await writeFile(file, conf[kind] ?? "");
      args.push(`--${kind}-conf`, file);
    }
    for (const feed of feeds) args.push("--url", pathToFileURL(feed).href);
    for (const file of local) args.push("--local", file);
    const began = performance.now();
    await this.#run(args);
    const durationMs = performance.now() - began;
    return { text: await readFile(join(work, "out/suricata.rules"), "utf8"), durationMs };
  }

  #run(args: readonly string[]) {
    const modules = join(this.#root, "usr/lib/python3/dist-packages");
    return runCommand("python3", [join(this.#root, "usr/bin/suricata-update"), ...args], {
      timeoutMs: 600_000,
      env: { PYTHONPATH: modules },
    });
  }
}
