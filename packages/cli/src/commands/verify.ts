/** Proving containment: an adversary in a twin of every instrument, and what came of each of its attempts. */
import { readFile } from "node:fs/promises";
import { readSettings } from "@bulkhead/host";
import { ContainmentLayer } from "@bulkhead/schema";
import {
  AS_HOST_ROOT,
  ATTEMPTS,
  checkReport,
  listControls,
  type Proof,
  proofJson,
  type ReportCheck,
  verify,
  writeReport,
} from "@bulkhead/verify";
import type { Command } from "commander";
import { command, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { tone } from "../output.ts";
import { renderTable } from "../render/table.ts";

const VERSION = "0.1.0";

export function verifyCommand(): Command {
  return command(
    "verify [instruments...]",
    "prove that instruments cannot get out: an adversary tries, in a twin of each",
    [
      "sudo bulkhead verify",
      "sudo bulkhead verify ids --json | jq '.results[] | select(.status != \"passed\")'",
      "bulkhead verify --check-report audit.json --key sensor-key.pub",
      "sudo bulkhead verify --without capabilities   # red: shows that the proof can fail",
    ],
  )
    .option("--prove", "also take every layer away from twins, and show that attempts then succeed")
    .option("--without <control>", "leave these layers out of twins (see --list-controls)")
    .option("--list-controls", "show what can be taken away, and which attempts it covers")
    .option("--report <file>", "write a signed report: FILE.json and FILE.html")
    .option("--check-report <file>", "check the signature of such a report, and of the page beside it")
    .option("--key <file>", "the sensor's public key (PEM), for --check-report; without it the report's own")
    .option("--only <attempts>", "some attempts alone, separated by commas")
    .action(async (instruments: string[], options) => {
      const { layout, output, installation } = contextOf(options);
      if (typeof options.checkReport === "string") {
        const check = await checkFiles(options.checkReport, options.key);
        output.result(check, () => renderCheck(check));
        if (!check.ok) process.exitCode = 1;
        return;
      }
      if (options.listControls === true) {
        const controls = listControls(ATTEMPTS);
        output.result(controls, () =>
          renderTable(
            ["CONTROL", "ATTEMPTS"],
            controls.map(({ control, attempts }) => [control, attempts.join(" ")]),
          ),
        );
        return;
      }
      if (process.getuid?.() !== 0) {
        throw new CliError("needs-root", "verify makes containers and looks at their processes", {
          advice: "use sudo",
        });
      }
      const settings = await readSettings(layout);
      if (settings === undefined) {
        throw new CliError("not-running", `there is no installation ${installation}`, {
          advice: "sudo ./bulkhead setup",
        });
      }
      const proof = await verify({
        layout,
        settings,
        instruments,
        ...parseWithout(options.without),
        prove: options.prove === true,
        only: typeof options.only === "string" ? options.only.split(",") : undefined,
        onProgress: (words) => output.note(tone("dim", words)),
      });
      if (typeof options.report === "string") {
        const files = await writeReport(options.report, proof, {
          layout,
          bulkhead: VERSION,
          time: new Date(),
        });
        output.note(`report: ${files.join(", ")}`);
      }
      output.result(proofJson(proof), () => renderProof(proof));
      if (!proof.ok) process.exitCode = 1;
    });
}

async function checkFiles(file: string, keyFile: unknown): Promise<ReportCheck> {
  const base = file.replace(/\.(html|json)$/, "");
  const page = await readFile(`${base}.html`, "utf8").catch((error: Error & { readonly code?: string }) => {
    if (error.code === "ENOENT") return null;
    throw error;
  });
  const key = typeof keyFile === "string" ? await readText(keyFile) : null;
  return checkReport(await readText(`${base}.json`), page, key);
}

async function readText(file: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: Error) => {
    throw new CliError("file-unreadable", `${file}: ${cause.message}`, { cause, exitCode: 2 });
  });
}

function renderCheck({ ok, faults, key, ownKey, page }: ReportCheck): string {
  return [
    ...faults.map((fault) => `${tone("bad", "fault")} ${fault}`),
    `key ${key}${ownKey ? ": the report's own; compare it with the sensor's, or give that with --key" : ""}`,
    page ? "the page beside it was checked, too" : tone("warn", "there is no page beside it"),
    ok ? tone("good", "The report is as it was signed.") : tone("bad", "The report is not what was signed."),
  ].join("\n");
}

function parseWithout(text: unknown): {
  readonly without: readonly ContainmentLayer[];
  readonly asHostRoot: boolean;
} {
  if (typeof text !== "string") return { without: [], asHostRoot: false };
  if (text === AS_HOST_ROOT) return { without: [], asHostRoot: true };
  const without = text.split("+").map((word) => {
    const layer = ContainmentLayer.safeParse(word);
    if (layer.success) return layer.data;
    throw new CliError("control-unknown", `${word} is no layer that can be taken away`, {
      advice: "bulkhead verify --list-controls shows what is accepted",
      exitCode: 2,
    });
  });
  return { without, asHostRoot: false };
}

function renderProof(proof: Proof): string {
  const failed = proof.results.filter(({ status }) => status === "failed");
  const absent = proof.results.filter(({ status }) => status === "absent");
  const uncaught = proof.results.flatMap(({ instrument, attempt, controls }) =>
    controls.filter((control) => !control.caught).map((control) => ({ instrument, attempt, ...control })),
  );
  const lines = [
    renderTable(
      ["INSTRUMENT", "PASSED", "FAILED", "ABSENT"],
      proof.instruments.map(({ name, passed, failed: red, absent: missing }) => [name, passed, red, missing]),
    ),
    "",
    ...failed.map(
      (one) =>
        `${tone("bad", "failed")} ${one.instrument} ${one.attempt}: ${one.means}\n  answer ${one.observed}, expected ${one.expected.join(" or ")}; seen from outside: ${one.witness ?? "nothing"}`,
    ),
    ...absent.map(
      (one) => `${tone("warn", "absent")} ${one.instrument} ${one.attempt}: this host lacks what it attacks`,
    ),
    ...uncaught.map(
      (one) =>
        `${tone("bad", "not shown")} ${one.instrument} ${one.attempt} under ${one.control}: answer ${one.observed}, seen: ${one.witness ?? "nothing"}`,
    ),
    proof.controls === null
      ? "What each result is worth: sudo ./bulkhead verify --prove"
      : `${proof.controls.caught} of ${proof.controls.total} controls show what they must.`,
    proof.ok
      ? tone("good", `Contained: ${proof.attempts} attempts to get out, none did.`)
      : tone("bad", `Not proven: ${failed.length} of ${proof.attempts} attempts failed the proof.`),
  ];
  return lines.join("\n");
}
