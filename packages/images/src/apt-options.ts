/**
 * What of the host's apt configuration a build of another suite takes over: how to reach the
 * archive (proxies, retries, certificates, clocks), and nothing that weakens verification.
 *
 * Pure: reads the output of `apt-config dump`, renders apt.conf(5).
 */

/**
 * The host's Acquire options as apt.conf text, one option a line.
 * @param dump stdout of `apt-config dump Acquire`
 */
export function renderInheritedOptions(dump: string): string {
  return dump
    .split("\n")
    .filter((line) => /^Acquire::[A-Za-z0-9_:.-]+ "[^"]*";$/.test(line) && !NOT_TAKEN.test(line))
    .map((line) => `${line}\n`)
    .join("");
}

/** Repositories without a valid signature stay refused, whatever the host allows for its own. */
const NOT_TAKEN =
  /^Acquire::(?:Allow|cdrom|Changelogs|CompressionTypes|GzipIndexes|IndexTargets|Languages|[^ ]*(?:Allow|Verify))/i;
