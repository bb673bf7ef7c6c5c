/** Glob: the patterns of Python's `fnmatch` (`*`, `?`, `[a-z]`, `[!a-z]`), in which a slash is a letter like others. Pure. */
export function globPattern(glob: string): RegExp {
  let made = "";
  for (let at = 0; at < glob.length; at += 1) {
    const char = glob.charAt(at);
    const end = char === "[" ? glob.indexOf("]", at + (glob.charAt(at + 1) === "!" ? 3 : 2)) : -1;
    if (char === "*") made += "[^]*";
    else if (char === "?") made += "[^]";
    else if (end > 0) {
      const inside = glob.slice(at + 1, end).replaceAll(/[\\\]^[]/g, String.raw`\$&`);
      made += `[${inside.replace(/^!/, "^")}]`;
      at = end;
    } else made += char.replace(/[.*+?^${}()|[\]\\]/, String.raw`\$&`);
  }
  return new RegExp(`^${made}$`);
}
