/**
 * Log lines of the proxy: JSON on stderr, one a line, without anything that an instrument wrote but names.
 */
export type Log = (message: string, fields?: Readonly<Record<string, string | number>>) => void;

export const stderrLog: Log = (message, fields = {}) => {
  process.stderr.write(
    `${JSON.stringify({ time: new Date().toISOString(), process: "egress", message, ...fields })}\n`,
  );
};

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
