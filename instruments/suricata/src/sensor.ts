/**
 * Sensor: a Suricata with the configuration and the rules that it was given; engine.ts runs it.
 *
 * Invariants: nothing becomes the running configuration that `suricata -T` did not pass; rules
 * alone change without a restart, anything else by an orderly one; what was refused leaves what
 * ran before in force.
 */
import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ConfigCommand } from "@bulkhead/schema";
import {
  applyRuleset,
  errorText,
  type ApplyOutcome,
  type InstrumentContext,
  type RuleFile,
} from "@bulkhead/sdk";
import { checkConfiguration } from "./check.ts";
import { Engine } from "./engine.ts";
import { keepLastGood, readLastGood } from "./last-good.ts";
import type { Settings } from "./settings.ts";
import { renderSuricataYaml, type SuricataPaths } from "./suricata-yaml.ts";
import { observeTap } from "./tap.ts";

const PROGRAM = "/usr/bin/suricata";
const DEVICE = "mon0";

/** What is in force: settings, the rules, and the file that says both. */
interface InForce {
  readonly settings: Settings;
  readonly yaml: string;
}

export class SuricataSensor {
  readonly #context: InstrumentContext;
  readonly #runDir: string;
  readonly #rulesDir: string;
  readonly #engine: Engine;
  #inForce: InForce | null = null;

  constructor(context: InstrumentContext) {
    this.#context = context;
    const { dataDir } = context.environment;
    this.#runDir = join(dataDir, "run", "suricata");
    this.#rulesDir = join(dataDir, "rules");
    this.#engine = new Engine(context, { ...this.#paths([]), program: PROGRAM, yaml: this.#yamlFile });
  }

  async open(): Promise<void> {
    await this.#engine.open();
    this.#context.health.set({ detail: "waits for its configuration" });
  }

  /** Checks, swaps and loads; on a refusal what ran before goes on. */
  async apply(settings: Settings, command: ConfigCommand): Promise<ApplyOutcome> {
    const names = settings.ruleFiles.map((name) => name.replace(/^\.\//, ""));
    const missing = names.filter((name) => !(command.files?.names.includes(name) ?? false));
    if (missing.length > 0) {
      return { outcome: "refused", faults: missing.map((file) => ({ file, message: "was not delivered" })) };
    }
    const former = this.#inForce;
    let note = "";
    const outcome = await applyRuleset(
      this.#rulesDir,
      {
        dir: join(this.#context.environment.inboxDir, command.files?.version ?? ""),
        version: command.version,
        names,
      },
      {
        check: (files) => this.#check(settings, files),
        reload: async (which, files) => {
          if (which === "former") return former === null ? null : this.#load(former, this.#inForce);
          const next = { settings, yaml: renderSuricataYaml(settings, this.#paths(files)) };
          const tapIndex = await observeTap(DEVICE);
          if (tapIndex === null) note = `waits for its tap ${DEVICE}`;
          return this.#load(next, this.#inForce);
        },
      },
    );
    if (outcome.outcome === "refused") {
      if (former === null && this.#inForce === null) await this.#resume();
      return outcome;
    }
    await keepLastGood(this.#rulesDir, { settings, files: outcome.files });
    return note === "" ? { outcome: "applied" } : { outcome: "applied", note };
  }

  /** Ends Suricata and hands on all that it found. */
  stop(): Promise<void> {
    return this.#engine.stop();
  }

  /** Refused at the start: what ran before the start runs again, if it still passes the check. */
  async #resume(): Promise<void> {
    const lastGood = await readLastGood(this.#rulesDir);
    if (lastGood === null) return this.#context.health.degraded("has no configuration that it can use");
    const { settings, files } = lastGood;
    if ((await this.#check(settings, files)).length > 0) {
      return this.#context.health.degraded("its last good configuration no longer passes the check");
    }
    this.#context.log.info("goes on with its last good configuration");
    const yaml = renderSuricataYaml(settings, this.#paths(files));
    const failure = await this.#load({ settings, yaml }, null);
    if (failure !== null) this.#context.health.degraded(failure);
  }

  get #yamlFile(): string {
    return join(this.#runDir, "suricata.yaml");
  }

  #paths(rules: readonly RuleFile[]): SuricataPaths {
    return {
      interface: DEVICE,
      runDir: this.#runDir,
      fifo: join(this.#runDir, "eve.fifo"),
      commandSocket: join(this.#runDir, "command.sock"),
      etcDir: "/etc/suricata",
      operatorRules: rules.map(({ path }) => path),
      rulesDir: this.#rulesDir,
    };
  }

  #check(settings: Settings, files: readonly RuleFile[]): ReturnType<typeof checkConfiguration> {
    return checkConfiguration({
      program: PROGRAM,
      yaml: renderSuricataYaml(settings, this.#paths(files)),
      yamlFile: join(this.#runDir, "candidate.yaml"),
      logDir: join(this.#runDir, "log"),
      files,
    });
  }

  /** Makes a configuration the running one; null when it is, else why not. */
  async #load(next: InForce, running: InForce | null): Promise<string | null> {
    await writeFile(`${this.#yamlFile}.next`, next.yaml);
    await rename(`${this.#yamlFile}.next`, this.#yamlFile);
    this.#inForce = next;
    try {
      if (running !== null && this.#engine.isRunning && onlyRulesDiffer(running, next))
        await this.#engine.reloadRules();
      else if ((await observeTap(DEVICE)) !== null) await this.#engine.restart();
      else void this.#engine.startWithTap();
      return null;
    } catch (error) {
      this.#inForce = running;
      return errorText(error);
    }
  }
}

/** Whether a reload of the rules takes the running Suricata to the new configuration. */
function onlyRulesDiffer(running: InForce, next: InForce): boolean {
  const withoutRules = ({ settings }: InForce): string =>
    JSON.stringify({ ...settings, ruleFiles: [], distributionRules: true });
  return withoutRules(running) === withoutRules(next);
}
