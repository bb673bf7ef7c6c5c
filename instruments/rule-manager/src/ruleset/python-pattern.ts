/**
 * Python patterns: makes regular expressions and replacements as Python's `re` has them, which the
 * files of suricata-update are written in, into those of JavaScript. Pure.
 *
 * What JavaScript has no counterpart for (atomic groups, conditionals, possessive quantifiers) is an
 * error to be told, never another meaning.
 */

/** Text, or what a group matched. */
export type ReplacementPart = string | { readonly group: number | string };

/** @throws SyntaxError with words for the operator. */
export function pythonPattern(pattern: string, flags: string): RegExp {
  const inline = /^\(\?([aimsux]+)\)/.exec(pattern);
  const given = inline?.[1] ?? "";
  if (given.includes("x")) throw new SyntaxError("the flag x is not supported");
  const rest = pattern.slice(inline?.[0].length ?? 0);
  const all = new Set(`${flags}${given.replaceAll(/[^ims]/g, "")}`);
  return new RegExp(translate(rest), [...all].join(""));
}

function translate(pattern: string): string {
  let made = "";
  let inClass = false;
  for (let at = 0; at < pattern.length; at += 1) {
    const rest = pattern.slice(at, at + 4);
    const char = pattern.charAt(at);
    if (char === "\\") {
      const next = pattern.charAt(at + 1);
      at += 1;
      if (next === "A" && !inClass) made += "(?<![^])";
      else if (next === "Z" && !inClass) made += "(?![^])";
      else made += `\\${next}`;
    } else if (inClass) {
      inClass = char !== "]";
      made += char;
    } else if (char === "[") {
      inClass = true;
      made += char;
      // A bracket at the beginning stands for itself.
      const isNegated = pattern.charAt(at + 1) === "^";
      if (isNegated) made += "^";
      at += isNegated ? 1 : 0;
      if (pattern.charAt(at + 1) === "]") {
        made += "\\]";
        at += 1;
      }
    } else if (rest === "(?P<") {
      made += "(?<";
      at += 3;
    } else if (rest === "(?P=") {
      const end = pattern.indexOf(")", at);
      if (end < 0) throw new SyntaxError("a group is not closed");
      made += `\\k<${pattern.slice(at + 4, end)}>`;
      at = end;
    } else if (rest.startsWith("(?#")) {
      const end = pattern.indexOf(")", at);
      if (end < 0) throw new SyntaxError("a remark is not closed");
      at = end;
    } else if (/^\(\?[>(]/.test(rest) || /^[*+?}]\+/.test(rest)) {
      throw new SyntaxError("atomic groups, conditionals and possessive quantifiers are not supported");
    } else if (/^\{,\d/.test(rest)) {
      made += "{0,";
      at += 1;
    } else made += char;
  }
  return made;
}

const ESCAPES: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", "\\": "\\" };

/** A replacement of `re.sub`, in which `${1}` of Oinkmaster counts as `\1`. @throws SyntaxError */
export function pythonReplacement(text: string): readonly ReplacementPart[] {
  const parts: ReplacementPart[] = [];
  const pattern = /\$\{(\d+)\}|\\(?:g<([^>]*)>|([1-9]\d?)|([^]?))/g;
  let from = 0;
  for (const match of text.matchAll(pattern)) {
    const [whole, oinkmaster, named, number, escaped] = match;
    parts.push(text.slice(from, match.index));
    from = match.index + whole.length;
    const group = oinkmaster ?? named ?? number;
    if (group !== undefined) parts.push({ group: /^\d+$/.test(group) ? Number(group) : group });
    else if (escaped !== undefined && ESCAPES[escaped] !== undefined) parts.push(ESCAPES[escaped]);
    else if (escaped === undefined || /^[A-Za-z]?$/.test(escaped))
      throw new SyntaxError(`a replacement has no \\${escaped ?? ""}`);
    else parts.push(whole);
  }
  return [...parts, text.slice(from)].filter((part) => part !== "");
}

/** Replaces every match. @throws SyntaxError where the pattern has no such group. */
export function replaceAll(text: string, pattern: RegExp, parts: readonly ReplacementPart[]): string {
  return text.replace(pattern, (...found: readonly unknown[]) => {
    const last = found.at(-1);
    const named = typeof last === "object" && last !== null ? last : {};
    const groups = found.slice(0, typeof last === "object" ? -3 : -2);
    return parts
      .map((part) => {
        if (typeof part === "string") return part;
        const { group } = part;
        const isThere = typeof group === "number" ? group < groups.length : Object.hasOwn(named, group);
        if (!isThere) throw new SyntaxError(`the pattern has no group ${group}`);
        const value: unknown = typeof group === "number" ? groups[group] : Reflect.get(named, group);
        return typeof value === "string" ? value : "";
      })
      .join("");
  });
}
