/**
 * /proc/PID/mountinfo: parsed, and asked which mount a path lies on.
 *
 * Invariants: pure; the kernel writes the text and escapes blanks and backslashes in octal (proc_pid_mountinfo(5)), so
 * that no mounted name can make a line or a field; a line that does not parse is reported, not skipped.
 */

export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** Directory of that file system which forms the root of the mount; ends in `//deleted` where it was removed. */
  readonly root: string;
  readonly path: string;
  /** Of this mount: `ro`, `nosuid`, … */
  readonly options: ReadonlySet<string>;
  readonly type: string;
  /** Of the file system: `size=8192k`, `memory`, … */
  readonly superOptions: ReadonlySet<string>;
}

/** Null in place of each line that does not parse. */
export function parseMountinfo(text: string): readonly (Mount | null)[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(parseLine);
}

/** The mount that `path` lies on: the last one made over its longest prefix. */
export function mountOf(path: string, mounts: readonly (Mount | null)[]): Mount | null {
  let found: Mount | null = null;
  for (const mount of mounts) {
    if (mount === null || !isBelow(path, mount.path)) continue;
    if (found === null || mount.path.length >= found.path.length) found = mount;
  }
  return found;
}

/** True if `path` is `dir` or lies in it. */
export function isBelow(path: string, dir: string): boolean {
  return path === dir || path.startsWith(dir.endsWith("/") ? dir : `${dir}/`);
}

function parseLine(line: string): Mount | null {
  const fields = line.split(" ");
  const dash = fields.indexOf("-", 6);
  const [, , device, root, path, options] = fields;
  const [type, , superOptions] = dash === -1 ? [] : fields.slice(dash + 1);
  if (device === undefined || root === undefined || path === undefined || options === undefined) return null;
  if (type === undefined || superOptions === undefined || !/^\d+:\d+$/.test(device)) return null;
  return {
    device,
    root: unescape(root),
    path: unescape(path),
    options: new Set(options.split(",")),
    type,
    superOptions: new Set(superOptions.split(",")),
  };
}

function unescape(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
