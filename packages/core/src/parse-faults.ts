/**
 * Zod issues as faults: each with a pointer, the line it stands on, a code, and what would be
 * accepted. All issues of a document are reported, none hides another.
 */
import type { Fault, FaultCode } from "@bulkhead/schema";
import type * as z from "zod";
import { acceptedKeys, describeAccepted, type JsonSchema } from "./accepted-values.ts";
import type { LocatedDocument, Path } from "./located-document.ts";

export interface FaultContext {
  readonly document: LocatedDocument;
  readonly schema: JsonSchema;
  /** Where in the document the checked value stands; empty for the whole. */
  readonly at: Path;
  readonly value: unknown;
  /** Gives every fault this code, where the caller has one for the place. */
  readonly code?: FaultCode;
}

export function faultsFromIssues(
  issues: readonly z.core.$ZodIssue[],
  context: FaultContext,
): readonly Fault[] {
  return issues.flatMap((issue) => faultsOf(issue, context));
}

function faultsOf(issue: z.core.$ZodIssue, context: FaultContext): readonly Fault[] {
  const { document, schema, at, value } = context;
  const inner: Path = issue.path.map((token) => (typeof token === "symbol" ? String(token) : token));
  const path = [...at, ...inner];
  const accepted = () => describeAccepted(schema, inner, value);
  const make = (where: Path, code: FaultCode, message: string, what: string): Fault =>
    document.fault(where, context.code ?? code, message, what);

  switch (issue.code) {
    case "unrecognized_keys": {
      const keys = acceptedKeys(schema, inner, value);
      return issue.keys.map((key) =>
        make(
          [...path, key],
          "unknown-key",
          `unknown key ${JSON.stringify(key)}`,
          keys.length > 0 ? `one of: ${keys.join(", ")}` : "no key here",
        ),
      );
    }
    case "invalid_key":
      return [
        make(
          path,
          "invalid-value",
          `bad name: ${issue.issues.map((i) => i.message).join("; ")}`,
          issue.issues[0]?.message ?? accepted(),
        ),
      ];
    case "invalid_type":
      return valueAt(value, inner) === undefined
        ? [
            make(
              path,
              "missing",
              `${JSON.stringify(String(path.at(-1) ?? "document"))} is missing`,
              accepted(),
            ),
          ]
        : [make(path, "wrong-type", issue.message, accepted())];
    default:
      return [make(path, "invalid-value", issue.message, accepted())];
  }
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (inner, key) => (typeof inner === "object" && inner !== null ? Reflect.get(inner, key) : undefined),
    value,
  );
}
