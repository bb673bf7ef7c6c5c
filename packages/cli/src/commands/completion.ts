/** completion: a script for the shell, made from the commands themselves. */
import type { Command } from "commander";
import { Command as NewCommand, Argument } from "commander";

export function completionCommand(program: () => Command): Command {
  return new NewCommand("completion")
    .description("print a completion script for bash, zsh or fish")
    .addArgument(new Argument("<shell>").choices(["bash", "zsh", "fish"]))
    .addHelpText(
      "after",
      "\nExamples:\n  $ source <(bulkhead completion bash)\n  $ bulkhead completion fish > ~/.config/fish/completions/bulkhead.fish",
    )
    .action((shell: "bash" | "zsh" | "fish") => {
      const words = program().commands.map((c) => ({
        name: c.name(),
        summary: c.description(),
        options: c.options.flatMap((o) => (o.long === undefined ? [] : [o.long])),
      }));
      process.stdout.write(shell === "fish" ? fish(words) : bash(words, shell === "zsh"));
    });
}

interface Words {
  readonly name: string;
  readonly summary: string;
  readonly options: readonly string[];
}

function bash(words: readonly Words[], zsh: boolean): string {
  const cases = words.map((w) => `    ${w.name}) words="${w.options.join(" ")}" ;;`).join("\n");
  return `${zsh ? "autoload -U +X bashcompinit && bashcompinit\n" : ""}_bulkhead() {
  local current="\${COMP_WORDS[COMP_CWORD]}" words
  case "\${COMP_WORDS[1]}" in
${cases}
  esac
  [ "$COMP_CWORD" -eq 1 ] && words="${words.map((w) => w.name).join(" ")}"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [ "$COMP_CWORD" -gt 1 ] && [ "\${current#-}" = "$current" ] && COMPREPLY+=($(compgen -f -- "$current"))
}
complete -F _bulkhead bulkhead ./bulkhead
`;
}

function fish(words: readonly Words[]): string {
  const lines = words.flatMap((w) => [
    `complete -c bulkhead -n __fish_use_subcommand -f -a ${w.name} -d '${w.summary.replaceAll("'", "\\'")}'`,
    ...w.options.map(
      (o) => `complete -c bulkhead -n '__fish_seen_subcommand_from ${w.name}' -l ${o.slice(2)}`,
    ),
  ]);
  return `${lines.join("\n")}\n`;
}
