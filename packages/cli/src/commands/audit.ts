/** audit: who changed what on this sensor, and proof that nobody changed the record of it. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { API_ROUTES, AuditRecord, type InstallationLayout } from "@bulkhead/schema";
import { Command } from "commander";
import { type LogCopy, readExport, readLogDirectory, renderExport } from "../audit/log-copy.ts";
import { verifyCopies } from "../audit/verify-copies.ts";
import { command, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderAuditEntry, renderAuditLine, renderVerifyReport } from "../render/audit.ts";

export function auditCommand(): Command {
  const audit = new Command("audit").description(
    "what was changed, refused and found, and proof of the record",
  );
  for (const one of [tailCommand(), showCommand(), verifyCommand(), exportCommand()]) {
    audit.addCommand(one.exitOverride());
  }
  return audit;
}

function tailCommand(): Command {
  return command("tail", "show the newest entries, and with --follow go on as they come", [
    "sudo bulkhead audit tail",
    "sudo bulkhead audit tail --follow --limit 5",
    "sudo bulkhead audit tail --after 120 --limit 1000 --json | jq .kind",
  ])
    .option("--follow", "go on until Ctrl-C")
    .option("--after <seq>", "only entries behind this one, from there on")
    .option("--limit <n>", "at most so many of the past", "50")
    .action(async (options) => {
      const { api, output, signal } = contextOf(options);
      const { limit, after } = options;
      const query = { limit, after, follow: options.follow === true ? "true" : undefined };
      for await (const entry of api.lines(API_ROUTES.audit.path, AuditRecord, query, signal)) {
        output.record(entry, () => renderAuditLine(entry));
      }
    });
}

function showCommand(): Command {
  return command("show <seq>", "show one entry in full", ["sudo bulkhead audit show 42"]).action(
    async (seq: string, options) => {
      const { api, output } = contextOf(options);
      const path = API_ROUTES.auditEntry.path.replace("{seq}", encodeURIComponent(seq));
      const entry = await api.get(path, AuditRecord);
      output.result(entry, () => renderAuditEntry(entry));
    },
  );
}

function verifyCommand(): Command {
  return command(
    "verify [copies...]",
    "check that nothing was edited, cut, reordered or replaced; without a file, this sensor's log",
    [
      "sudo bulkhead audit verify",
      "bulkhead audit verify march.audit april.audit --key sensor-key.pub",
      "sudo bulkhead audit verify /var/lib/bulkhead/… march.audit   the log, and whether it still says what it said",
    ],
  )
    .option("--key <file>", "the sensor's public key (PEM); an export brings its own, to be compared")
    .addHelpText(
      "after",
      "\nA copy is a file that `audit export` wrote, or the directory of a log; several are compared where\nthey overlap. Exit code 1: something was found, and its place is said.",
    )
    .action(async (paths: readonly string[], options) => {
      const { layout, output } = contextOf(options);
      const copies = await copiesOf(paths, layout);
      const key = options.key === undefined ? await ownKey(paths, layout) : await readKey(options.key);
      const report = verifyCopies(copies, key);
      output.result(report, () => renderVerifyReport(report));
      if (!report.ok) process.exitCode = 1;
    });
}

function exportCommand(): Command {
  return command("export <file>", "write the log into one file that `audit verify` accepts elsewhere", [
    "sudo bulkhead audit export april.audit",
  ]).action(async (file: string, options) => {
    const { layout, installation, output } = contextOf(options);
    const copy = await readLogDirectory(layout.auditDir);
    const bytes = renderExport(copy, installation, await readKey(layout.sensorPublicKeyFile));
    await writeFile(file, bytes, { mode: 0o600 }).catch((cause: Error) => {
      throw new CliError("file-unwritable", `${file}: ${cause.message}`, { cause, exitCode: 2 });
    });
    const head = copy.head.value?.head ?? null;
    output.result(
      { ok: true, file, head, sizeBytes: bytes.length },
      () => `${file}: up to entry ${head?.seq ?? 0}`,
    );
  });
}

async function copiesOf(paths: readonly string[], layout: InstallationLayout): Promise<readonly LogCopy[]> {
  if (paths.length === 0) return [await readLogDirectory(layout.auditDir)];
  return Promise.all(
    paths.map(async (path) => {
      const isDirectory = await stat(path).then(
        (found) => found.isDirectory(),
        () => false,
      );
      return isDirectory ? readLogDirectory(path) : readExport(path);
    }),
  );
}

/** For this sensor's own log the key that lies beside it; a copy is checked with what it brings, or with --key. */
async function ownKey(paths: readonly string[], layout: InstallationLayout): Promise<string | null> {
  const own = paths.length === 0 || paths.includes(layout.auditDir);
  return own ? readKey(layout.sensorPublicKeyFile) : null;
}

async function readKey(file: string): Promise<string> {
  return readFile(file, "utf8").catch((cause: Error) => {
    throw new CliError("file-unreadable", `${file}: ${cause.message}`, { cause, exitCode: 2 });
  });
}
