/**
 * Debian's bootstrap: mmdebstrap unpacks the packages and their dependencies from the host's own
 * mirror, verified by apt against Debian's keyring. Nothing of the packages is executed
 * (`--variant=extract`), so no maintainer script runs as root on the host.
 */
import { readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { renderInheritedOptions } from "./apt-options.ts";
import { checkName, renderSources } from "./apt-source.ts";
import type { BasePlan } from "./base-plan.ts";
import type { Bootstrap } from "./bootstrap.ts";
import { runCommand } from "./command.ts";
import { parseDebPackages } from "./inventory.ts";
import { findDebianMirror } from "./mirrors.ts";
import { listTar } from "./tar.ts";

const ARCHIVES = "var/cache/apt/archives";

export const bootstrapDebian: Bootstrap = async (plan, dir, { onProgress, signal }) => {
  const archive = await findDebianMirror();
  const sources = `${dir}.list`;
  const aptOptions = `${dir}.apt`;
  await writeFile(sources, renderSources(plan.suite, archive));
  const dump = await runCommand("apt-config", ["dump", "Acquire"], { signal });
  await writeFile(aptOptions, renderInheritedOptions(dump.toString("utf8")));
  const [program = "", ...args] = planMmdebstrap(plan, { dir, sources, aptOptions });
  await runCommand(program, args, { signal, onLine: (line) => onProgress?.(line) });

  const debs = (await readdir(join(dir, ARCHIVES)))
    .filter((name) => name.endsWith(".deb"))
    .toSorted()
    .map((name) => join(dir, ARCHIVES, name));
  const control = new Map<string, string>();
  const debOf = new Map<string, string>();
  for (const deb of debs) {
    const text = (await runCommand("dpkg-deb", ["-f", deb], { signal })).toString("utf8");
    const name = /^Package: (\S+)$/m.exec(text)?.[1];
    if (name === undefined) continue;
    control.set(name, text);
    debOf.set(name, deb);
  }
  return {
    packages: parseDebPackages([...control.values()].join("\n\n")),
    async filesOf(names) {
      const owned = names.map(async (name) => {
        const deb = debOf.get(name);
        if (deb === undefined) return [name, []] as const;
        const tar = await runCommand("dpkg-deb", ["--fsys-tarfile", deb], { signal });
        return [name, await listTar(tar)] as const;
      });
      return new Map(await Promise.all(owned));
    },
    // As other images without dpkg do it; scanners look there.
    recordsOf: (kept) =>
      new Map(
        [...kept]
          .toSorted()
          .map((name) => [`var/lib/dpkg/status.d/${name}`, control.get(name) ?? ""] as const),
      ),
  };
};

/** The argv that unpacks a plan into a directory, from a file of sources. */
export function planMmdebstrap(
  plan: BasePlan,
  paths: { readonly dir: string; readonly sources: string; readonly aptOptions: string },
): readonly string[] {
  return [
    "mmdebstrap",
    "--mode=root",
    "--variant=extract",
    "--format=directory",
    // The packages' files stay for the inventory; they do not get into the image.
    "--skip=cleanup/apt",
    `--aptopt=${paths.aptOptions}`,
    '--aptopt=APT::Install-Recommends "false"',
    `--include=${plan.packages.map(checkName).join(",")}`,
    plan.suite,
    paths.dir,
    paths.sources,
  ];
}
