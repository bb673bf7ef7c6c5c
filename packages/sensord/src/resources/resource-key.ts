/** Resource key: what tells a resource apart, and where it lies. Its parts are validated names. */
import { join } from "node:path";
import type { Name } from "@bulkhead/schema";

export interface ResourceKey {
  readonly from: Name;
  readonly type: string;
  readonly name: string;
}

export function keyOf({ from, type, name }: ResourceKey): ResourceKey {
  return { from, type, name };
}

export function keyText({ from, type, name }: ResourceKey): string {
  return `${from}/${type}/${name}`;
}

/** Of a version, below its receiver's directory. */
export function pathBelow({ from, type, name }: ResourceKey, version: string): string {
  return join(from, type, name, version);
}
