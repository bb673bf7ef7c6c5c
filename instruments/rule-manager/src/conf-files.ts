/**
 * Conf files: the operator's local rules and suricata-update files, read from the read-only inbox where
 * the platform put them with the settings.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConfigCommand } from "@bulkhead/schema";
import type { Configuration } from "./manager.ts";
import type { Settings } from "./settings.ts";

export type ReadConfiguration =
  | { readonly kind: "read"; readonly configuration: Configuration }
  | { readonly kind: "missing"; readonly files: readonly string[] };

export async function readConfiguration(
  settings: Settings,
  { version, files }: ConfigCommand,
  inboxDir: string,
): Promise<ReadConfiguration> {
  const { localRules, enableConf, disableConf, dropConf, modifyConf } = settings;
  const confs = [enableConf, disableConf, dropConf, modifyConf].filter((name) => name !== undefined);
  const wanted = [...localRules, ...confs].map(plainName);
  const missing = wanted.filter((name) => !(files?.names.includes(name) ?? false));
  if (missing.length > 0) return { kind: "missing", files: missing };
  const read = async (given: string) => {
    const file = plainName(given);
    return { file, text: await readFile(join(inboxDir, files?.version ?? "", file), "utf8") };
  };
  const readIf = async (name: string | undefined) => (name === undefined ? [] : [await read(name)]);
  return {
    kind: "read",
    configuration: {
      settings,
      version,
      localRules: await Promise.all(localRules.map(read)),
      conf: {
        enable: await readIf(enableConf),
        disable: await readIf(disableConf),
        drop: await readIf(dropConf),
        modify: await readIf(modifyConf),
      },
    },
  };
}

function plainName(name: string): string {
  return name.replace(/^\.\//, "");
}
