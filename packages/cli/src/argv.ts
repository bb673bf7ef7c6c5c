/**
 * The shared options may stand before the command as well: `bulkhead --installation lab status`.
 * Commander takes them after it, so they are moved there.
 */
export function commandFirst(args: readonly string[]): readonly string[] {
  const moved: string[] = [];
  let at = 0;
  for (; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (arg === "--installation") moved.push(arg, args[++at] ?? "");
    else if (arg === "--json" || arg.startsWith("--installation=")) moved.push(arg);
    else break;
  }
  return at < args.length ? [...args.slice(at), ...moved] : args;
}
