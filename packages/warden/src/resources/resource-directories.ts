/**
 * Resource directories: for each instrument that takes resources one, which sensord fills and the instrument's
 * container sees read-only at /resources.
 *
 * Invariants: the directory above is root's, so that sensord cannot put a link in a directory's place; what lies in
 * one is sensord's, and root never walks through it: it is removed by a program that runs as the platform's user.
 */
import { chmod, mkdir, readdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { type InstallationLayout, Name, type Settings } from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { WardenError } from "../error.ts";
import { nullIfMissing } from "../site/read-file.ts";
import { giveTo } from "../volumes/give-to.ts";

export interface ResourceDirectories {
  /** Makes the directory, empty, if there is none: a container needs it at its start. @throws WardenError `volume-locked` */
  prepare(instrument: string): Promise<void>;
  /** Removes it with what lies in it. @throws WardenError `command-failed`, and ENOTEMPTY where sensord goes on filling it */
  remove(instrument: string): Promise<void>;
  /** Whose there are; none while the platform's volume is not open. */
  observe(): Promise<Name[]>;
}

const POWERS = ["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs"] as const;
const REMOVAL_MS = 60_000;

export function resourceDirectories(
  places: Pick<InstallationLayout, "resourcesDir">,
  platform: Pick<Settings, "uid" | "gid">,
  commands: Commands,
): ResourceDirectories {
  const dir = (instrument: string) => join(places.resourcesDir, Name.parse(instrument));
  return {
    async prepare(instrument) {
      const path = dir(instrument);
      await mkdir(path).catch((cause: NodeJS.ErrnoException) => {
        if (cause.code === "EEXIST") return;
        if (cause.code !== "ENOENT") throw cause;
        // The platform's volume is not open, and nothing may be written in its place.
        const message = `${instrument}: what others publish for it lies in the vault, which is not open`;
        throw new WardenError("volume-locked", message, { fields: { instrument }, cause });
      });
      await giveTo(path, platform, commands);
      await chmod(path, 0o755);
    },
    async remove(instrument) {
      const path = dir(instrument);
      const identity = [`--reuid=${platform.uid}`, `--regid=${platform.gid}`, "--clear-groups"];
      if ((await readdir(path).catch(nullIfMissing)) === null) return;
      await commands.run(
        ["setpriv", ...identity, ...POWERS, "--", "find", "-P", path, "-xdev", "-mindepth", "1", "-delete"],
        { timeoutMs: REMOVAL_MS },
      );
      await rmdir(path);
    },
    async observe() {
      const entries = (await readdir(places.resourcesDir).catch(nullIfMissing)) ?? [];
      return entries.filter((entry) => Name.safeParse(entry).success);
    },
  };
}
