/** new: makes the folder of a new instrument, in a checkout. It changes nothing that is there. */
import { SOURCE_DIR } from "@bulkhead/host";
import { Name, RESERVED_NAMES } from "@bulkhead/schema";
import { Command } from "commander";
import { existsSync } from "node:fs";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { command, contextOf } from "../command.ts";
import { CliError } from "../error.ts";
import { renderInstrumentFiles } from "../new/instrument-files.ts";

export function newCommand(): Command {
  const instrument = command(
    "instrument <name>",
    "make the folder of a new instrument: manifest, settings, agent and unit tests; for use in a checkout",
    ["./bulkhead new instrument port-notes", "./bulkhead new instrument port-notes --dir instruments"],
  )
    .option("--dir <dir>", "where its folder is made; instruments/ of the checkout, else here")
    .action(async (text: string, options) => {
      const { layout, output } = contextOf(options);
      const name = parseName(text);
      const dir = resolve(options.dir ?? instrumentsDir());
      const folder = join(dir, name);
      refuseTaken(name, folder, layout.catalogueDir);
      const files = renderInstrumentFiles(name);
      await writeFolder(folder, files);
      const result = { name, folder, files: Object.keys(files) };
      output.result(result, () => renderNext(name, folder, result.files));
    });
  return new Command("new")
    .description("begin something new, in a checkout")
    .addCommand(instrument.exitOverride());
}

/** Of the checkout that this runs from; an installed program has none. */
function instrumentsDir(): string {
  const dir = join(SOURCE_DIR, "instruments");
  return existsSync(dir) ? dir : process.cwd();
}

function parseName(text: string): Name {
  const name = Name.safeParse(text);
  const issue = name.success ? null : (name.error.issues[0]?.message ?? "not accepted");
  if (issue !== null) throw new CliError("bad-argument", `${text}: accepted: ${issue}`, { exitCode: 2 });
  if (RESERVED_NAMES.includes(text))
    throw new CliError("bad-argument", `${text}: the platform's own name`, { exitCode: 2 });
  return text;
}

function refuseTaken(name: Name, folder: string, catalogueDir: string): void {
  if (existsSync(folder))
    throw new CliError("folder-exists", `${folder} is there already`, {
      advice: "choose another name, or move that folder away",
      exitCode: 2,
    });
  const taken = [join(SOURCE_DIR, "instruments", name), join(catalogueDir, name)].find((each) =>
    existsSync(join(each, "instrument.yaml")),
  );
  if (taken !== undefined)
    throw new CliError("name-taken", `there is a package ${name} already: ${taken}`, {
      advice: "choose another name",
      exitCode: 2,
    });
}

/** Whole or not at all. */
async function writeFolder(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  try {
    await mkdir(dirname(folder), { recursive: true });
    await mkdir(folder); // fails where somebody was faster
  } catch (cause) {
    throw unwritable(folder, cause);
  }
  try {
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(folder, path)), { recursive: true });
      await writeFile(join(folder, path), text, { flag: "wx" });
    }
  } catch (cause) {
    await rm(folder, { recursive: true, force: true });
    throw unwritable(folder, cause);
  }
}

function unwritable(folder: string, cause: unknown): CliError {
  const message = cause instanceof Error ? cause.message : String(cause);
  return new CliError("file-unwritable", `${folder}: ${message}`, { cause, exitCode: 2 });
}

function renderNext(name: Name, folder: string, files: readonly string[]): string {
  const here = relative(process.cwd(), folder) || ".";
  return [
    `Made ${here}:`,
    ...files.map((file) => `  ${file}`),
    "",
    "Next:",
    `  node --test '${join(here, "src", "*.test.ts")}'   (Node 24; needs no sensor)`,
    `  edit instrument.yaml in ${here}: what it asks for; and src/agent.ts: what it does`,
    "  sudo ./bulkhead setup       (builds its image, where the folder is in instruments/)",
    `  add  ${name}: { package: ${name} }  to the instruments of a site, then: sudo ./bulkhead apply site.yaml`,
    "  npm install --package-lock-only, before it is committed: the lock file names it then",
  ].join("\n");
}
