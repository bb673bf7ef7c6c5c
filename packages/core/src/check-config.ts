/**
 * Check of an instrument's settings in the site against its package's JSON Schema, and of the
 * files that they name (strings of format `site-file`).
 */
import type { Fault, SiteFile } from "@bulkhead/schema";
import * as z from "zod";
import { type JsonSchema, stringsOfFormat } from "./accepted-values.ts";
import type { LocatedDocument, Path } from "./located-document.ts";
import { faultsFromIssues } from "./parse-faults.ts";

const SITE_FILE_PATTERN = /^(\.\/)?[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;

export interface ConfigCheck {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly schema: JsonSchema | null;
  readonly document: LocatedDocument;
  readonly files: readonly SiteFile[];
}

export function checkConfig({ name, config, schema, document, files }: ConfigCheck): readonly Fault[] {
  const at: Path = ["instruments", name, "config"];
  if (schema === null) {
    return config === undefined
      ? []
      : [document.fault(at, "config-rejected", "this instrument takes no settings", "no config here")];
  }
  const value = config ?? {};
  const parsed = z.fromJSONSchema(schema).safeParse(value);
  const faults = parsed.success
    ? []
    : faultsFromIssues(parsed.error.issues, {
        document,
        schema,
        at,
        value,
        code: "config-rejected",
      });
  return [...faults, ...checkFiles(value, schema, at, document, files)];
}

/** `./local.rules` → `local.rules`: the name under which a file lies beside the site. */
export function siteFileName(text: string): string {
  return text.replace(/^\.\//, "");
}

/** Names of all files that this config names, in the order of their appearance. */
export function siteFileNames(
  config: Readonly<Record<string, unknown>>,
  schema: JsonSchema | null,
): readonly string[] {
  if (schema === null) return [];
  return stringsOfFormat(schema, config, "site-file")
    .filter(({ text }) => SITE_FILE_PATTERN.test(text))
    .map(({ text }) => siteFileName(text));
}

function checkFiles(
  value: unknown,
  schema: JsonSchema,
  at: Path,
  document: LocatedDocument,
  files: readonly SiteFile[],
): readonly Fault[] {
  return stringsOfFormat(schema, value, "site-file").flatMap(({ path, text }) => {
    const where = [...at, ...path];
    if (!SITE_FILE_PATTERN.test(text)) {
      return [
        document.fault(
          where,
          "invalid-value",
          `${JSON.stringify(text)} does not lie beside the site`,
          "a relative path below the site's folder, without ..",
        ),
      ];
    }
    return files.some((file) => file.name === siteFileName(text))
      ? []
      : [
          document.fault(
            where,
            "file-missing",
            `no file ${siteFileName(text)} beside ${document.file}`,
            "the name of a file beside the site",
          ),
        ];
  });
}
