/**
 * Shell words: splits a line as Python's `shlex.split` does, which suricata-update reads its
 * modify.conf with: quotes of both kinds; a backslash takes the next character as it is, within
 * double quotes only a quote or a backslash. Pure.
 */

/** Null where a quote is not closed, or nothing follows the last backslash. */
export function splitShellWords(line: string): readonly string[] | null {
  const words: string[] = [];
  let word: string | null = null;
  let quote = "";
  for (let at = 0; at < line.length; at += 1) {
    const char = line.charAt(at);
    const next = line.charAt(at + 1);
    if (quote === "'" || (quote === '"' && char !== '"' && char !== "\\")) {
      if (char === quote) quote = "";
      else word = `${word ?? ""}${char}`;
    } else if (quote === '"') {
      if (char === '"') quote = "";
      else if (next === "") return null;
      else if (next === '"' || next === "\\") {
        word = `${word ?? ""}${next}`;
        at += 1;
      } else word = `${word ?? ""}\\`;
    } else if (char === "\\") {
      if (next === "") return null;
      word = `${word ?? ""}${next}`;
      at += 1;
    } else if (char === '"' || char === "'") {
      quote = char;
      word ??= "";
    } else if (/\s/.test(char)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = `${word ?? ""}${char}`;
  }
  if (quote !== "") return null;
  return word === null ? words : [...words, word];
}
