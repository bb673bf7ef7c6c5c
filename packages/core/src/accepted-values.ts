/**
 * What would be accepted at one place of a document, in words, read off the JSON Schema: so that
 * manifest, site and an instrument's own settings are explained by one mechanism.
 */
import type { Path } from "./located-document.ts";

export type JsonSchema = Readonly<Record<string, unknown>>;

/** Words for the value at `path`. `value` is the whole document, to choose among alternatives. */
export function describeAccepted(schema: JsonSchema, path: Path, value: unknown): string {
  const at = schemaAt(schema, schema, path, value);
  return at === undefined
    ? `one of: ${keysOf(schemaAt(schema, schema, path.slice(0, -1), value))}`
    : words(schema, at);
}

/** Keys that an object at `path` may have. */
export function acceptedKeys(schema: JsonSchema, path: Path, value: unknown): readonly string[] {
  const at = schemaAt(schema, schema, path, value);
  return at === undefined ? [] : Object.keys(objectOf(at["properties"]));
}

/** Strings of `format` anywhere in `value`, with their paths; walks objects and arrays alone. */
export function stringsOfFormat(
  schema: JsonSchema,
  value: unknown,
  format: string,
  path: Path = [],
): readonly { readonly path: Path; readonly text: string }[] {
  if (schema["format"] === format) return typeof value === "string" ? [{ path, text: value }] : [];
  if (Array.isArray(value)) {
    const items = objectOf(schema["items"]);
    return value.flatMap((item, index) => stringsOfFormat(items, item, format, [...path, index]));
  }
  if (typeof value !== "object" || value === null) return [];
  const properties = objectOf(schema["properties"]);
  return Object.entries(value).flatMap(([key, item]) =>
    stringsOfFormat(objectOf(properties[key]), item, format, [...path, key]),
  );
}

function schemaAt(root: JsonSchema, schema: JsonSchema, path: Path, value: unknown): JsonSchema | undefined {
  const here = alternative(root, resolve(root, schema), value);
  const [key, ...rest] = path;
  if (key === undefined) return here;
  const next =
    typeof key === "number"
      ? here["items"]
      : (objectOf(here["properties"])[key] ?? here["additionalProperties"] ?? inBranches(root, here, key));
  if (typeof next !== "object" || next === null) return undefined;
  const inner: unknown = typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined;
  return schemaAt(root, objectOf(next), rest, inner);
}

function resolve(root: JsonSchema, schema: JsonSchema): JsonSchema {
  const ref = schema["$ref"];
  if (typeof ref !== "string" || !ref.startsWith("#/$defs/")) return schema;
  return objectOf(objectOf(root["$defs"])[ref.slice("#/$defs/".length)]);
}

/** Of `anyOf`/`oneOf`, the branch whose constants agree with the value; the first that is an object otherwise. */
function alternative(root: JsonSchema, schema: JsonSchema, value: unknown): JsonSchema {
  const branches = schema["anyOf"] ?? schema["oneOf"];
  if (!Array.isArray(branches)) return schema;
  const resolved = branches.map((branch) => resolve(root, objectOf(branch)));
  const match = resolved.find((branch) => {
    const constants = Object.entries(objectOf(branch["properties"])).filter(
      ([, s]) => "const" in objectOf(s),
    );
    return (
      constants.length > 0 &&
      typeof value === "object" &&
      value !== null &&
      constants.every(([key, s]) => Reflect.get(value, key) === objectOf(s)["const"])
    );
  });
  return match ?? schema;
}

/** What the branches of an undecided choice have under this key: of a `kind` that is none, each kind. */
function inBranches(root: JsonSchema, schema: JsonSchema, key: string): JsonSchema | undefined {
  const branches = schema["anyOf"] ?? schema["oneOf"];
  if (!Array.isArray(branches)) return undefined;
  const found = branches.flatMap((branch) => {
    const property = objectOf(resolve(root, objectOf(branch))["properties"])[key];
    return property === undefined ? [] : [property];
  });
  return found.length === 0 ? undefined : { anyOf: found };
}

function words(root: JsonSchema, schema: JsonSchema): string {
  if (typeof schema["description"] === "string") return schema["description"];
  if ("const" in schema) return JSON.stringify(schema["const"]);
  if (Array.isArray(schema["enum"])) return `one of: ${schema["enum"].join(", ")}`;
  const branches = schema["anyOf"] ?? schema["oneOf"];
  if (Array.isArray(branches)) {
    const kinds = branches.map(
      (branch) => objectOf(objectOf(objectOf(branch)["properties"])["kind"])["const"],
    );
    if (kinds.every((kind) => typeof kind === "string")) return `kind: one of ${kinds.join(", ")}`;
    return branches.map((branch) => words(root, resolve(root, objectOf(branch)))).join(", or ");
  }
  switch (schema["type"]) {
    case "object":
      return "properties" in schema ? `an object with ${keysOf(schema)}` : "an object";
    case "array":
      return `a list of ${words(root, resolve(root, objectOf(schema["items"])))}`;
    case "string":
      return typeof schema["pattern"] === "string" ? `text that matches ${schema["pattern"]}` : "text";
    case "integer":
    case "number":
      return rangeWords(schema);
    default:
      return typeof schema["type"] === "string" ? `a ${schema["type"]}` : "another value";
  }
}

function rangeWords(schema: JsonSchema): string {
  const noun = schema["type"] === "integer" ? "a whole number" : "a number";
  const low = schema["minimum"] ?? schema["exclusiveMinimum"];
  const high = schema["maximum"];
  if (typeof low !== "number") return noun;
  return typeof high === "number" ? `${noun} from ${low} to ${high}` : `${noun} from ${low}`;
}

function keysOf(schema: JsonSchema | undefined): string {
  return Object.keys(objectOf(schema?.["properties"])).join(", ") || "(nothing)";
}

function objectOf(value: unknown): JsonSchema {
  // A JSON object read by key; absent and non-object parts count as an empty schema.
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonSchema) : {};
}
