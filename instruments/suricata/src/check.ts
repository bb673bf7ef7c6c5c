/**
 * Check: has Suricata itself read a configuration with its rules (`suricata -T`) before it is used.
 *
 * The daemon loads the good rules of a bad file and says nothing; -T refuses it and names file and
 * line. Nothing is opened that the running Suricata uses: EVE is off during a check.
 */
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import type { RuleFaults, RuleFile } from "@bulkhead/sdk";
import { parseEngineLine, parseRuleFaults } from "./engine-log.ts";

/** Faults of this configuration, by the operator's names of the rule files; empty where it is good. */
export async function checkConfiguration(options: {
  readonly program: string;
  readonly yaml: string;
  readonly yamlFile: string;
  readonly logDir: string;
  readonly files: readonly RuleFile[];
  readonly timeoutMs: number;
}): Promise<RuleFaults> {
  const { program, yaml, yamlFile, logDir, files, timeoutMs } = options;
  await writeFile(yamlFile, yaml);
  const args = ["-T", "-c", yamlFile, "-l", logDir, "--set", "outputs.0.eve-log.enabled=no"];
  const { exitCode, output } = await run(program, args, timeoutMs);
  if (exitCode === 0) return [];
  const names = new Map(files.map(({ path, name }) => [path, name]));
  const lines = output
    .split("\n")
    .filter((line) => line !== "")
    .map(parseEngineLine);
  const faults = parseRuleFaults(lines, (path) => names.get(path));
  return faults.length > 0 ? faults : [{ message: `suricata -T ended with ${exitCode} and named no reason` }];
}

function run(
  program: string,
  args: readonly string[],
  timeoutMs: number,
): Promise<{ readonly exitCode: number; readonly output: string }> {
  const { promise, resolve, reject } = Promise.withResolvers<{
    readonly exitCode: number;
    readonly output: string;
  }>();
  const options = { timeout: timeoutMs, maxBuffer: 16 * 1024 * 1024 };
  execFile(program, [...args], options, (error, stdout, stderr) => {
    const output = `${stdout}\n${stderr}`; // errors go to stderr, the rest to stdout
    if (error === null) resolve({ exitCode: 0, output });
    else if (typeof error.code === "number") resolve({ exitCode: error.code, output });
    else if (error.killed === true) reject(new Error(`suricata -T took longer than ${timeoutMs / 1_000} s`));
    else reject(error);
  });
  return promise;
}
