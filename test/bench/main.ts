/**
 * bench: measures on this host and writes what came out. `./bulkhead bench NAME` gets here.
 *
 * Progress goes to stderr; stdout is the table, or with --json one line of JSON (result.ts has its shape). The same
 * JSON and a plot lie in bench-results/ afterwards. Exit codes: 0 measured, also where aims are not met; 1 a part
 * could not be measured; 2 wrong usage.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs, styleText } from "node:util";
import { type Bench, BENCHES } from "./benches.ts";
import { observeHost } from "./host-facts.ts";
import { renderPlot } from "./plot.ts";
import { Report } from "./result.ts";
import { renderReport } from "./table.ts";

const NAMES = Object.keys(BENCHES).join(", ");
const USAGE = `Usage: sudo ./bulkhead bench NAME [options]

${Object.entries(BENCHES)
  .map(([name, { title, parts }]) => `  ${name.padEnd(8)} ${title}\n           parts: ${parts.join(", ")}`)
  .join("\n")}

docs/bench.md explains the figures.

  --quick          some minutes, instead of up to 15
  --json           one line of JSON on stdout
  --only PARTS     some of the bench's parts, separated by commas
  --cold           sensor: measure the demo without the host's cache of built images, which is removed
  --keep           leave the bench's installation (named bench) standing
  --help

Examples:
  $ sudo ./bulkhead bench sensor --quick
  $ sudo ./bulkhead bench noisy --only fork-bomb,packet-rings
  $ sudo ./bulkhead bench sensor --only datapath --json | jq .results
`;
const RESULTS_DIR = join(import.meta.dirname, "../../bench-results");

async function main(argv: readonly string[]): Promise<number> {
  const asked = parseWords(argv);
  if ("exitCode" in asked) {
    (asked.exitCode === 0 ? process.stdout : process.stderr).write(`${asked.words}\n`);
    return asked.exitCode;
  }
  if (process.getuid?.() !== 0) {
    process.stderr.write("a bench makes namespaces and an installation, and needs root: use sudo\n");
    return 1;
  }
  const stopping = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => stopping.abort());
  const beganMs = performance.now();
  const say = (words: string): void => {
    const seconds = ((performance.now() - beganMs) / 1_000).toFixed(0).padStart(4);
    process.stderr.write(`${styleText("gray", `${seconds} s`, { stream: process.stderr })}  ${words}\n`);
  };
  const host = await observeHost();
  const outcome = await asked.bench.measure({ ...asked, say, signal: stopping.signal });
  const report = Report.parse({ bench: asked.name, host, results: outcome.results });
  process.stdout.write(`${asked.json ? JSON.stringify(report) : renderReport(report)}\n`);
  // A run that was broken off at once does not take the place of the one before.
  if (report.results.length > 0) await save(report, say);
  for (const { part, error } of outcome.failures) {
    process.stderr.write(
      `${part} could not be measured: ${error instanceof Error ? error.message : String(error)}\n`,
    );
  }
  return outcome.failures.length === 0 && !stopping.signal.aborted ? 0 : 1;
}

interface Asked {
  readonly name: string;
  readonly bench: Bench;
  readonly quick: boolean;
  readonly json: boolean;
  readonly cold: boolean;
  readonly keep: boolean;
  readonly parts: readonly string[];
}

function parseWords(argv: readonly string[]): Asked | { readonly exitCode: number; readonly words: string } {
  const flag = { type: "boolean", default: false } as const;
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      allowPositionals: true,
      options: {
        quick: flag,
        json: flag,
        cold: flag,
        keep: flag,
        help: { ...flag, short: "h" },
        only: { type: "string" },
      },
    });
    if (values.help) return { exitCode: 0, words: USAGE };
    const [name = ""] = positionals;
    const bench = positionals.length === 1 && Object.hasOwn(BENCHES, name) ? BENCHES[name] : undefined;
    if (bench === undefined) return { exitCode: 2, words: `which bench? accepted: ${NAMES}\n\n${USAGE}` };
    const words = values.only?.split(",") ?? bench.parts;
    const parts = bench.parts.filter((part) => words.includes(part));
    if (parts.length !== words.length) {
      return { exitCode: 2, words: `--only ${values.only}: accepted are ${bench.parts.join(", ")}` };
    }
    const { quick, json, cold, keep } = values;
    return { name, bench, quick, json, cold, keep, parts };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error; // parseArgs: an option that it does not know
    return { exitCode: 2, words: `${error.message}\n\n${USAGE}` };
  }
}

async function save(report: Report, say: (words: string) => void): Promise<void> {
  await mkdir(RESULTS_DIR, { recursive: true });
  await writeFile(join(RESULTS_DIR, `${report.bench}.json`), `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(join(RESULTS_DIR, `${report.bench}.svg`), await renderPlot(report));
  say(`written: bench-results/${report.bench}.json and ${report.bench}.svg`);
}

process.exitCode = await main(process.argv.slice(2));
