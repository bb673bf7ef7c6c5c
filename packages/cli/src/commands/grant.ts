/** grant and revoke: one line of a site's grants, written to the file after a look at it, and applied. */
import { addGrant, GRANT_KINDS, type GrantEdit, removeGrant } from "@bulkhead/core";
import { DottedName, Name } from "@bulkhead/schema";
import { open, readFile, rename, rm, stat } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import type * as z from "zod";
import { command, type Context, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { tone } from "../output.ts";
import { lineDiff } from "../render/line-diff.ts";
import { renderFaults } from "../render/plan.ts";
import { planText } from "../stage-site.ts";
import { applyFile, renderReply } from "./site.ts";

type Verb = "grant" | "revoke";

export function grantCommands(): readonly Command[] {
  return [
    editCommand("grant", "let an instrument send another a message, or have its events or resources"),
    editCommand("revoke", "take such a grant back; what it had opened is closed at once"),
  ];
}

function editCommand(verb: Verb, summary: string): Command {
  return command(
    `${verb} <from> <kind> <name> <to> <file>`,
    `${summary}: edits the site's file and applies it`,
    [
      `sudo bulkhead ${verb} rules message ruleset.check ids site.yaml`,
      `sudo bulkhead ${verb} ids event suricata.dns pdns site.yaml --yes`,
      `sudo bulkhead ${verb} feeds resource ruleset.feed rules site.yaml`,
    ],
  )
    .option("--yes", "do not ask")
    .action(async (from: string, kind: string, name: string, to: string, file: string, options) => {
      await edit(verb, parseEdit(from, kind, name, to), file, options.yes === true, contextOf(options));
    });
}

async function edit(
  verb: Verb,
  grant: GrantEdit,
  file: string,
  yes: boolean,
  context: Context,
): Promise<void> {
  const { api, output } = context;
  const before = await readFile(file, "utf8").catch((cause: Error) => {
    throw new CliError("file-unreadable", `${file}: ${cause.message}`, { cause, exitCode: 2 });
  });
  const edited = verb === "grant" ? addGrant(before, grant) : removeGrant(before, grant);
  if (edited.outcome === "unreadable")
    throw new CliError("file-unreadable", `${file}: ${edited.message}`, { exitCode: 2 });
  if (edited.outcome === "unchanged") {
    output.result({ changed: false }, () =>
      verb === "grant" ? "It is granted already." : "It is not granted.",
    );
    return;
  }
  const { faults } = await planText(file, edited.text, api);
  if (faults.length > 0) {
    output.result({ faults }, () => renderFaults(faults));
    process.exitCode = 2;
    return;
  }
  const diff = lineDiff(before, edited.text);
  for (const { mark, text } of diff) {
    output.note(mark === " " ? `  ${text}` : tone(mark === "+" ? "good" : "bad", `${mark} ${text}`));
  }
  if (!yes && !(await confirm(`Write this to ${file} and apply it?`))) {
    throw new CliError("not-confirmed", "nothing was written", { advice: "add --yes to do it", exitCode: 2 });
  }
  await replaceFile(file, edited.text);
  const reply = await applyFile(file, context).catch(async (error: unknown) => {
    // The file says what is in force.
    await replaceFile(file, before);
    throw error;
  });
  if (reply === null) return replaceFile(file, before);
  output.result({ changed: true, diff, ...reply }, () => renderReply(reply));
}

/** Whole or not at all; owner and mode stay. What is written beside it is a new file, and nobody's link. */
async function replaceFile(file: string, text: string): Promise<void> {
  const { mode, uid, gid } = await stat(file);
  const next = `${file}.bulkhead-next`;
  await rm(next, { force: true });
  const written = await open(next, "wx", 0o600);
  try {
    await written.writeFile(text);
    await written.chown(uid, gid);
    await written.chmod(mode & 0o777);
  } finally {
    await written.close();
  }
  await rename(next, file);
}

/** False where nobody is there to be asked. */
async function confirm(question: string): Promise<boolean> {
  if (!process.stdin.isTTY) return false;
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return /^y(es)?$/i.test((await lines.question(`${question} [y/N] `)).trim());
  } finally {
    lines.close();
  }
}

function parseEdit(from: string, word: string, name: string, to: string): GrantEdit {
  const kind = GRANT_KINDS.find((each) => each === word);
  if (kind === undefined)
    throw new CliError("bad-argument", `${word}: accepted: ${GRANT_KINDS.join(", ")}`, { exitCode: 2 });
  return { kind, from: parse(Name, from), name: parse(DottedName, name), to: parse(Name, to) };
}

function parse(type: z.ZodType<string>, text: string): string {
  const parsed = type.safeParse(text);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]?.message ?? "not accepted";
  throw new CliError("bad-argument", `${text}: accepted: ${issue}`, { exitCode: 2 });
}
