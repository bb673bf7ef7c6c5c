/**
 * Configuration: suricata.yaml for settings and rule files, where it lies, and whether Suricata itself
 * takes it. It changes nothing that runs.
 */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Environment, RuleFaults, RuleFile } from "@bulkhead/sdk";
import { checkConfiguration } from "./check.ts";
import { isManaged, thresholdFileOf, unfoldSet } from "./managed-set.ts";
import type { Settings } from "./settings.ts";
import { renderSuricataYaml, type SuricataPaths } from "./suricata-yaml.ts";

export const PROGRAM = "/usr/bin/suricata";
export const DEVICE = "mon0";
const CHECK_TIMEOUT_MS = 90_000;

export class Configuration {
  readonly rulesDir: string;
  readonly #runDir: string;

  constructor({ dataDir }: Pick<Environment, "dataDir">) {
    this.#runDir = join(dataDir, "run", "suricata");
    this.rulesDir = join(dataDir, "rules");
  }

  get yamlFile(): string {
    return join(this.#runDir, "suricata.yaml");
  }

  paths(rules: readonly RuleFile[]): SuricataPaths {
    return {
      interface: DEVICE,
      runDir: this.#runDir,
      fifo: join(this.#runDir, "eve.fifo"),
      commandSocket: join(this.#runDir, "command.sock"),
      etcDir: "/etc/suricata",
      operatorRules: rules.map(({ path }) => path),
      thresholdFile: thresholdFileOf(rules),
      rulesDir: this.rulesDir,
    };
  }

  render(settings: Settings, files: readonly RuleFile[]): string {
    return renderSuricataYaml(settings, this.paths(files));
  }

  /** Makes a text the one that a start and a reload read. */
  async write(yaml: string): Promise<void> {
    await writeFile(`${this.yamlFile}.next`, yaml);
    await rename(`${this.yamlFile}.next`, this.yamlFile);
  }

  /** Faults, and how many rules the rule manager's set among the files has. */
  async check(
    settings: Settings,
    files: readonly RuleFile[],
    timeoutMs = CHECK_TIMEOUT_MS,
  ): Promise<{ readonly faults: RuleFaults; readonly rules: number }> {
    const set = files.find(isManaged);
    const rules = set === undefined ? 0 : await unfoldSet(set);
    const faults = await checkConfiguration({
      program: PROGRAM,
      yaml: this.render(settings, files),
      yamlFile: join(this.#runDir, "candidate.yaml"),
      logDir: join(this.#runDir, "log"),
      files,
      timeoutMs,
    });
    return { faults, rules };
  }
}
