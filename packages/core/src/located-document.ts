/**
 * Located document: YAML text parsed once, that can say for each JSON pointer where it stands.
 *
 * Aliases are expanded within the library's own limit and duplicate keys are faults. No schema
 * is known here.
 */
import type { Fault, FaultCode } from "@bulkhead/schema";
import { isMap, LineCounter, parseDocument } from "yaml";

export type Path = readonly (string | number)[];

export interface LocatedDocument {
  readonly file: string;
  /** Plain data; validated by the caller. */
  readonly value: unknown;
  /** 1-based line and column of the value at `path`, or of the nearest parent that exists. */
  locate(path: Path): { readonly line: number; readonly column: number };
  fault(path: Path, code: FaultCode, message: string, accepted: string): Fault;
}

export type DocumentOutcome =
  | { readonly ok: true; readonly document: LocatedDocument }
  | { readonly ok: false; readonly faults: readonly Fault[] };

export function parseLocatedDocument(text: string, file: string): DocumentOutcome {
  const lines = new LineCounter();
  const yaml = parseDocument(text, { lineCounter: lines, uniqueKeys: true });
  const syntax = (message: string, offset: number): Fault => {
    const at = lines.linePos(offset);
    return {
      path: "",
      file,
      line: Math.max(1, at.line),
      column: Math.max(1, at.col),
      code: "syntax",
      message,
      accepted: "a YAML 1.2 document without duplicate keys",
    };
  };
  if (yaml.errors.length > 0) {
    return { ok: false, faults: yaml.errors.map((e) => syntax(firstLine(e.message), e.pos[0])) };
  }
  let value: unknown;
  try {
    value = yaml.toJS({ maxAliasCount: 50 });
  } catch (error) {
    return {
      ok: false,
      faults: [syntax(error instanceof Error ? error.message : String(error), 0)],
    };
  }

  const locate: LocatedDocument["locate"] = (path) => {
    for (let depth = path.length; depth >= 0; depth--) {
      const offset = offsetOf(yaml, path.slice(0, depth));
      if (offset !== undefined) {
        const at = lines.linePos(offset);
        return { line: Math.max(1, at.line), column: Math.max(1, at.col) };
      }
    }
    return { line: 1, column: 1 };
  };
  const fault: LocatedDocument["fault"] = (path, code, message, accepted) => ({
    path: renderPointer(path),
    file,
    ...locate(path),
    code,
    message,
    accepted,
  });
  return { ok: true, document: { file, value, locate, fault } };
}

/** RFC 6901. */
export function renderPointer(path: Path): string {
  return path.map((token) => `/${String(token).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** Offset of the key where the value stands under one (that is where people look), else of the value. */
function offsetOf(yaml: ReturnType<typeof parseDocument>, path: Path): number | undefined {
  if (path.length === 0) return yaml.contents?.range?.[0];
  const parent: unknown = path.length === 1 ? yaml.contents : yaml.getIn(path.slice(0, -1), true);
  const last = path.at(-1);
  if (isMap(parent)) {
    const pair = parent.items.find((item) => scalarText(item.key) === String(last));
    const key = pair?.key;
    return hasRange(key) ? key.range[0] : undefined;
  }
  const node: unknown = yaml.getIn(path, true);
  return hasRange(node) ? node.range[0] : undefined;
}

function scalarText(node: unknown): string | undefined {
  return typeof node === "object" && node !== null && "value" in node ? String(node.value) : undefined;
}

function hasRange(node: unknown): node is { readonly range: readonly [number, number, number] } {
  return typeof node === "object" && node !== null && "range" in node && Array.isArray(node.range);
}

function firstLine(text: string): string {
  return text.split("\n")[0] ?? text;
}
