/**
 * Salvage: what is left of a document when its faulty parts are taken out, so that the rest can be
 * checked in the same run and all faults are reported at once. Nothing is ever done with the rest.
 */
import type * as z from "zod";
import type { Path } from "./located-document.ts";

const MOST_ROUNDS = 50;

export interface Salvage<T> {
  readonly value: T;
  /** True: whole entries had to go, so that a reference to one of them says nothing. */
  readonly incomplete: boolean;
}

/** Null where what is left does not hold either. */
export function salvage<T>(type: z.ZodType<T>, value: unknown): Salvage<T> | null {
  const rest: unknown = structuredClone(value);
  let incomplete = false;
  for (let round = 0; round < MOST_ROUNDS; round++) {
    const parsed = type.safeParse(rest);
    if (parsed.success) return { value: parsed.data, incomplete };
    for (const issue of parsed.error.issues) {
      const path: Path = issue.path.map((token) => (typeof token === "symbol" ? String(token) : token));
      if (issue.code === "unrecognized_keys") {
        for (const key of issue.keys) remove(rest, [...path, key]);
      } else if (!remove(rest, path)) {
        // It is missing and needed: what contains it cannot stand.
        incomplete = true;
        if (path.length < 2 || !remove(rest, path.slice(0, -1))) return null;
      } else {
        incomplete ||= path.length <= 2;
      }
    }
  }
  return null;
}

/** False where there is nothing at `path`. */
function remove(root: unknown, path: Path): boolean {
  const key = path.at(-1);
  const parent = path
    .slice(0, -1)
    .reduce<unknown>((at, token) => (isContainer(at) ? Reflect.get(at, token) : undefined), root);
  if (key === undefined || !isContainer(parent) || !Reflect.has(parent, key)) return false;
  if (Array.isArray(parent) && typeof key === "number") {
    parent.splice(key, 1);
    return true;
  }
  return Reflect.deleteProperty(parent, key);
}

function isContainer(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}
