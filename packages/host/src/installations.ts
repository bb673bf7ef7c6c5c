/**
 * Which installations a host has, whole or half-made, and what was decided for each.
 *
 * Invariant: an installation counts while any of its directories is there, so that nothing of it is taken for
 * somebody else's, or for rubbish, by the removal of another.
 */
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { InstallationName, type InstallationLayout, installationLayout, Settings } from "@bulkhead/schema";
import { readTextFile } from "./atomic-file.ts";
import { HostError, systemErrorCode } from "./error.ts";

/** Names that are taken by host-wide directories beside those of the installations. */
const reservedNames: ReadonlySet<string> = new Set(["host", "idmap"]);

/** @throws HostError `host-name-reserved` for what cannot be an installation's name */
export function parseInstallation(name: string): InstallationLayout {
  const parsed = InstallationName.safeParse(name);
  if (!parsed.success || reservedNames.has(name)) {
    throw new HostError("host-name-reserved", `${JSON.stringify(name)} cannot name an installation`, {
      advice:
        "use lower-case letters, digits and single hyphens, beginning with a letter, at most 16 characters; " +
        "`host` and `idmap` are taken",
    });
  }
  return installationLayout(parsed.data);
}

/** Every installation of which anything is left on the host, by name. */
export async function observeInstallations(): Promise<readonly InstallationLayout[]> {
  const sample = installationLayout(InstallationName.parse("bulkhead"));
  const parents = [sample.etcDir, sample.optDir, sample.libDir, sample.logDir, sample.runDir].map((path) =>
    dirname(path),
  );
  const names = new Set<string>();
  for (const parent of parents) for (const name of await directoryNames(parent)) names.add(name);
  return [...names]
    .filter((name) => !reservedNames.has(name) && InstallationName.safeParse(name).success)
    .toSorted()
    .map((name) => installationLayout(InstallationName.parse(name)));
}

/** What setup decided; undefined where it has not ended. @throws HostError `host-settings-unreadable` */
export async function readSettings(layout: InstallationLayout): Promise<Settings | undefined> {
  const text = await readTextFile(layout.settingsFile);
  if (text === undefined) return undefined;
  try {
    return Settings.parse(JSON.parse(text));
  } catch (cause) {
    throw new HostError("host-settings-unreadable", `${layout.settingsFile} is damaged`, {
      advice: "remove the file and run `bulkhead setup`, which writes it anew",
      cause,
    });
  }
}

/** @throws HostError `host-not-set-up` */
export async function requireSettings(layout: InstallationLayout): Promise<Settings> {
  const settings = await readSettings(layout);
  if (settings !== undefined) return settings;
  throw new HostError("host-not-set-up", `there is no installation ${layout.name} on this host`, {
    advice: `run \`bulkhead setup --installation ${layout.name}\``,
  });
}

async function directoryNames(parent: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(parent, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return [];
    throw error;
  }
}
