/** Reads installation.json, which set-up wrote and root owns. */
import { readFile } from "node:fs/promises";
import { type InstallationLayout, Settings } from "@bulkhead/schema";
import { SensordError } from "./error.ts";

/** Throws `settings-unreadable`; `settings-invalid` when it is not what set-up writes. */
export async function readSettings({
  settingsFile,
  name,
}: Pick<InstallationLayout, "settingsFile" | "name">): Promise<Settings> {
  const text = await readFile(settingsFile, "utf8").catch((cause: unknown) => {
    throw new SensordError("settings-unreadable", `${settingsFile} cannot be read`, { cause });
  });
  const invalid = (cause: unknown): SensordError =>
    new SensordError("settings-invalid", `${settingsFile} is not what set-up writes`, { cause });
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw invalid(cause);
  }
  const parsed = Settings.safeParse(data);
  if (!parsed.success) throw invalid(parsed.error);
  if (parsed.data.installation !== name) {
    throw new SensordError(
      "settings-invalid",
      `${settingsFile} is of the installation ${parsed.data.installation}, not ${name}`,
    );
  }
  return parsed.data;
}
