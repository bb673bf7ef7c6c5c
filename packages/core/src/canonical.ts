/**
 * Canonical JSON and its digest: equal data gives equal text, whatever the order of keys.
 */
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, utf8ToBytes } from "@noble/hashes/utils.js";

/** sha256 in hex over canonical JSON. */
export function digestOf(data: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(renderCanonical(data))));
}

/** JSON with sorted keys; `undefined` members are left out. */
export function renderCanonical(data: unknown): string {
  return JSON.stringify(data, (_key, value: unknown) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
