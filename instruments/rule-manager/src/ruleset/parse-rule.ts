/**
 * Parses one rule: `action protocol source port direction destination port (options)`, in front of
 * it `#` where it is disabled. Pure.
 *
 * Options end with a semicolon that no backslash escapes, in quotes too, as in Suricata
 * (detect-parse.c). Meaning is not checked beyond what the rule manager decides by.
 */
import type { Place, Rule } from "./rule.ts";

/** `comment`: no rule was meant. */
export type ParsedRule =
  | { readonly kind: "rule"; readonly rule: Rule }
  | { readonly kind: "comment" }
  | { readonly kind: "bad"; readonly message: string };

/** What Suricata 7 knows. */
const ACTIONS: ReadonlySet<string> = new Set([
  "alert",
  "pass",
  "drop",
  "reject",
  "rejectsrc",
  "rejectdst",
  "rejectboth",
  "config",
]);
const DIRECTIONS: ReadonlySet<string> = new Set(["->", "<>", "=>"]);
/** Suricata reads a rule into a buffer of this size (DETECT_MAX_RULE_SIZE). */
const MOST_CHARACTERS = 8_191;
const MOST_ID = 2 ** 32 - 1;
/** Beyond this a key of gid and sid would not be exact. */
const MOST_GID = 2 ** 20;
const FILE_KEYWORDS: ReadonlySet<string> = new Set(["filemd5", "filesha1", "filesha256", "lua", "luajit"]);
const SET_FILE = /(^|[\s,])(load|save|state)\s/;

export function parseRule(line: string, place: Place): ParsedRule {
  const whole = line.trim();
  if (whole === "") return { kind: "comment" };
  const enabled = whole[0] !== "#";
  const text = enabled ? whole : whole.replace(/^[\s#]+/, "");
  const parsed = parseText(text, enabled, place);
  // What does not parse behind a # was a remark.
  return typeof parsed !== "string"
    ? { kind: "rule", rule: parsed }
    : enabled
      ? { kind: "bad", message: parsed }
      : { kind: "comment" };
}

function parseText(text: string, enabled: boolean, place: Place): Rule | string {
  const opens = text.indexOf("(");
  if (opens <= 0) return "is no rule: it has no options in parentheses";
  const header = parseHeader(text.slice(0, opens).trim());
  if (typeof header === "string") return header;
  if (!text.endsWith(")")) return "does not end with a parenthesis";
  if (text.length > MOST_CHARACTERS) return `is longer than Suricata takes (${MOST_CHARACTERS} characters)`;
  const options = parseOptions(text, opens + 1, text.length - 1);
  if (typeof options === "string") return options;
  return { ...header, ...options, enabled, text, place };
}

type Header = Pick<Rule, "action" | "protocol" | "addressVariables" | "portVariables">;

/** Rules share few headers: each is taken apart once. */
const headers = new Map<string, Header | string>();
const MOST_HEADERS = 4_096;

function parseHeader(header: string): Header | string {
  const known = headers.get(header);
  if (known !== undefined) return known;
  const parsed = takeHeaderApart(header);
  if (headers.size >= MOST_HEADERS) headers.clear();
  headers.set(header, parsed);
  return parsed;
}

function takeHeaderApart(header: string): Header | string {
  const words = splitHeader(header);
  const [action = "", protocol = "", source = "", sourcePort = "", direction = ""] = words;
  if (!ACTIONS.has(action)) return `begins with no action of Suricata: ${action.slice(0, 40)}`;
  if (words.length !== 7)
    return "its header is not of the form: action protocol address port -> address port";
  if (!DIRECTIONS.has(direction)) return `has no direction where one is expected: ${direction.slice(0, 40)}`;
  const [, , , , , destination = "", destinationPort = ""] = words;
  return {
    action,
    protocol,
    addressVariables: variablesOf(source, destination),
    portVariables: variablesOf(sourcePort, destinationPort),
  };
}

/** Words at spaces outside of brackets. */
function splitHeader(header: string): readonly string[] {
  const words: string[] = [];
  let depth = 0;
  let word = "";
  for (const char of header) {
    if (char === "[") depth += 1;
    if (char === "]") depth -= 1;
    const isSpace = char === " " || char === "\t";
    if (!isSpace) word += char;
    else if (depth <= 0 && word !== "") {
      words.push(word);
      word = "";
    }
  }
  return word === "" ? words : [...words, word];
}

function variablesOf(...fields: readonly string[]): readonly string[] {
  return fields.flatMap((field) => Array.from(field.matchAll(/\$(\w+)/g), (match) => match[1] ?? ""));
}

type Options = Pick<
  Rule,
  "gid" | "sid" | "rev" | "msg" | "classtype" | "metadata" | "flowbits" | "quiet" | "needsFile"
>;

const NONE: readonly string[] = [];

function parseOptions(text: string, begin: number, end: number): Options | string {
  let gid = 1;
  let sid = 0;
  let rev = 0;
  let msg = "";
  let classtype: string | null = null;
  let metadata = NONE;
  let flowbits = NONE;
  let quiet = false;
  let needsFile: string | null = null;
  for (let at = begin; at < end;) {
    const stop = findEnd(text, at, end);
    if (stop < 0) {
      if (text.slice(at, end).trim() === "") break;
      return "its last option has no semicolon";
    }
    const colon = text.indexOf(":", at);
    const hasValue = colon >= 0 && colon < stop;
    const name = text.slice(at, hasValue ? colon : stop).trim();
    switch (name) {
      case "sid":
      case "rev":
      case "gid": {
        const value = hasValue ? text.slice(colon + 1, stop).trim() : "";
        const number = /^\d{1,10}$/.test(value) ? Number(value) : -1;
        if (number < 0 || number > MOST_ID) return `its ${name} is no number: ${value.slice(0, 40)}`;
        if (name === "sid") sid = number;
        else if (name === "rev") rev = number;
        else if (number > MOST_GID) return `its gid is larger than ${MOST_GID}`;
        else gid = number;
        break;
      }
      case "msg":
        msg = unquote(hasValue ? text.slice(colon + 1, stop).trim() : "");
        break;
      case "classtype":
        classtype = hasValue ? text.slice(colon + 1, stop).trim() : null;
        break;
      case "metadata":
        if (hasValue) {
          const entries = text.slice(colon + 1, stop).split(",");
          metadata = [...metadata, ...entries.map((entry) => entry.trim())];
        }
        break;
      case "flowbits": {
        const value = hasValue ? text.slice(colon + 1, stop).trim() : "";
        flowbits = [...flowbits, value];
        if (value.includes("noalert")) quiet = true;
        break;
      }
      case "noalert":
        quiet = true;
        break;
      case "dataset":
      case "datarep":
        if (SET_FILE.test(text.slice(colon + 1, stop))) needsFile = name;
        break;
      default:
        if (FILE_KEYWORDS.has(name)) needsFile = name;
    }
    at = stop + 1;
  }
  if (sid === 0) return "has no sid";
  return { gid, sid, rev, msg, classtype, metadata, flowbits, quiet, needsFile };
}

function findEnd(text: string, from: number, end: number): number {
  for (let at = text.indexOf(";", from); at >= 0 && at < end; at = text.indexOf(";", at + 1)) {
    if (text[at - 1] !== "\\") return at;
  }
  return -1;
}

function unquote(value: string): string {
  return value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
}
