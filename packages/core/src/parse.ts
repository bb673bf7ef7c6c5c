/**
 * Untrusted text → typed manifest or site, or all of its faults.
 */
import { Manifest, Site, type Fault } from "@bulkhead/schema";
import * as z from "zod";
import type { JsonSchema } from "./accepted-values.ts";
import { type LocatedDocument, parseLocatedDocument } from "./located-document.ts";
import { faultsFromIssues } from "./parse-faults.ts";
import { type Salvage, salvage } from "./salvage.ts";

export type ParseOutcome<T> =
  | { readonly ok: true; readonly value: T; readonly document: LocatedDocument }
  /** `rest`: what is left without the faulty parts, to be checked and nothing else; null where nothing holds. */
  | {
      readonly ok: false;
      readonly faults: readonly Fault[];
      readonly rest: (Salvage<T> & { readonly document: LocatedDocument }) | null;
    };

export function parseManifest(text: string, file: string): ParseOutcome<Manifest> {
  return parseWith(Manifest, manifestSchema, text, file);
}

export function parseSite(text: string, file: string): ParseOutcome<Site> {
  return parseWith(Site, siteSchema, text, file);
}

export const manifestSchema: JsonSchema = z.toJSONSchema(Manifest, { io: "input" });
export const siteSchema: JsonSchema = z.toJSONSchema(Site, { io: "input" });

function parseWith<T>(type: z.ZodType<T>, schema: JsonSchema, text: string, file: string): ParseOutcome<T> {
  const outcome = parseLocatedDocument(text, file);
  if (!outcome.ok) return { ...outcome, rest: null };
  const { document } = outcome;
  const parsed = type.safeParse(document.value);
  if (parsed.success) return { ok: true, value: parsed.data, document };
  const context = { document, schema, at: [], value: document.value };
  const rest = salvage(type, document.value);
  return {
    ok: false,
    faults: faultsFromIssues(parsed.error.issues, context),
    rest: rest === null ? null : { ...rest, document },
  };
}
