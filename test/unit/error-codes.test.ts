/** docs/errors.md and the code name the same errors: no code without words, no words without a code. */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { FAULT_CODES } from "@bulkhead/schema";

const ROOT = join(import.meta.dirname, "../..");
const PLACES = [
  "packages/*/src/error.ts",
  "packages/*/src/image-fault.ts",
  "instruments/*/src/problem-code.ts",
];

test("every code stands in docs/errors.md, and nothing else does", async () => {
  const files = globSync(PLACES, { cwd: ROOT });
  assert.ok(files.length >= 7, `found only ${files.join(", ")}`);
  const texts = await Promise.all(files.map((file) => readFile(join(ROOT, file), "utf8")));
  const inCode = new Set<string>([
    ...FAULT_CODES,
    ...texts.flatMap((text) => [...text.matchAll(/^ {2}\| "([a-z0-9-]+)"/gm)].map(([, code = ""]) => code)),
  ]);
  const page = await readFile(join(ROOT, "docs/errors.md"), "utf8");
  const inDocs = new Set([...page.matchAll(/^\| `([a-z0-9-]+)` \|/gm)].map(([, code = ""]) => code));
  assert.deepEqual(
    [...inCode].filter((code) => !inDocs.has(code)),
    [],
    "codes without words",
  );
  assert.deepEqual(
    [...inDocs].filter((code) => !inCode.has(code)),
    [],
    "words without a code",
  );
});
