/**
 * Sensor: a Suricata with the configuration and the rules that it was given, the operator's and those of
 * a rule manager; engine.ts runs it.
 *
 * Invariants: nothing becomes the running configuration that `suricata -T` did not pass; rules
 * alone change without a restart, anything else by an orderly one; what was refused leaves what
 * ran before in force. One change at a time.
 */
import { join } from "node:path";
import type { ConfigCommand, RulesetApplyReply, RulesetCheckReply, RulesetRequest } from "@bulkhead/schema";
import {
  applyRuleset,
  type ApplyOutcome,
  checkRuleset,
  errorText,
  type InstrumentContext,
  type RuleFile,
  type RulesetDelivery,
  type RulesetOutcome,
} from "@bulkhead/sdk";
import { Configuration, DEVICE, PROGRAM } from "./configuration.ts";
import { Engine } from "./engine.ts";
import { keepLastGood, readLastGood } from "./last-good.ts";
import { findingsOf, isManaged, managedName, unfoldSet } from "./managed-set.ts";
import type { Settings } from "./settings.ts";
import { observeTap } from "./tap.ts";

/** A rule manager waits a minute for the answer. */
const SET_CHECK_TIMEOUT_MS = 50_000;
const NOT_WANTED = "its settings take no rules of a rule manager";

/** What is in force: settings, the rules, and the file that says both. */
interface InForce {
  readonly settings: Settings;
  readonly files: readonly RuleFile[];
  readonly yaml: string;
}

export class SuricataSensor {
  readonly #context: InstrumentContext;
  readonly #configuration: Configuration;
  readonly #engine: Engine;
  #inForce: InForce | null = null;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(context: InstrumentContext) {
    this.#context = context;
    this.#configuration = new Configuration(context.environment);
    const { yamlFile } = this.#configuration;
    this.#engine = new Engine(context, {
      ...this.#configuration.paths([]),
      program: PROGRAM,
      yaml: yamlFile,
    });
  }

  async open(): Promise<void> {
    await this.#engine.open();
    this.#context.health.set({ detail: "waits for its configuration" });
  }

  /** Checks, swaps and loads; on a refusal what ran before goes on. */
  apply(settings: Settings, command: ConfigCommand): Promise<ApplyOutcome> {
    return this.#inTurn(() => this.#applySettings(settings, command));
  }

  /** Whether a rule manager's set can be loaded beside the operator's rules. Changes nothing. */
  checkSet(request: RulesetRequest, path: string): Promise<RulesetCheckReply> {
    return this.#inTurn(async () => {
      const { settings, files } = this.#required();
      const set = { name: managedName(request), path };
      if (!settings.managedRules) {
        return { ok: false, rules: 0, findings: [{ line: null, message: NOT_WANTED }] };
      }
      let rules = 0;
      const delivery = deliveryOf(request, [...files.filter((file) => !isManaged(file)), set]);
      const faults = await checkRuleset(this.#configuration.rulesDir, delivery, async (copies) => {
        const checked = await this.#configuration.check(settings, copies, SET_CHECK_TIMEOUT_MS);
        rules = checked.rules;
        return checked.faults;
      });
      return { ok: faults.length === 0, rules, findings: [...findingsOf(faults, set.name)] };
    });
  }

  /** Brings a rule manager's set into force; the one that is in force already is so. */
  applySet(request: RulesetRequest, path: string): Promise<RulesetApplyReply> {
    return this.#inTurn(async () => {
      const { settings, files } = this.#required();
      const set = { name: managedName(request), path };
      if (!settings.managedRules) {
        return { outcome: "refused", rules: 0, findings: [{ line: null, message: NOT_WANTED }] };
      }
      const present = files.find(isManaged);
      if (present?.name === set.name)
        return { outcome: "applied", rules: await unfoldSet(present), findings: [] };
      const delivery = deliveryOf(request, [...files.filter((file) => !isManaged(file)), set]);
      const { outcome, rules } = await this.#bringIntoForce(settings, delivery, SET_CHECK_TIMEOUT_MS);
      const faults = outcome.outcome === "refused" ? outcome.faults : [];
      return { outcome: outcome.outcome, rules, findings: [...findingsOf(faults, set.name)] };
    });
  }

  /** Ends Suricata and hands on all that it found. */
  stop(): Promise<void> {
    return this.#engine.stop();
  }

  async #applySettings(settings: Settings, command: ConfigCommand): Promise<ApplyOutcome> {
    const names = settings.ruleFiles.map((name) => name.replace(/^\.\//, ""));
    const missing = names.filter((name) => !(command.files?.names.includes(name) ?? false));
    if (missing.length > 0) {
      return { outcome: "refused", faults: missing.map((file) => ({ file, message: "was not delivered" })) };
    }
    const former = this.#inForce;
    const files = former?.files ?? (await readLastGood(this.#configuration.rulesDir))?.files ?? [];
    const { outcome, note } = await this.#bringIntoForce(settings, {
      dir: join(this.#context.environment.inboxDir, command.files?.version ?? ""),
      version: command.version,
      names,
      beside: settings.managedRules ? files.filter(isManaged) : [],
    });
    if (outcome.outcome === "refused") {
      if (former === null && this.#inForce === null) await this.#resume();
      return outcome;
    }
    return note === "" ? { outcome: "applied" } : { outcome: "applied", note };
  }

  async #bringIntoForce(
    settings: Settings,
    delivery: RulesetDelivery,
    timeoutMs?: number,
  ): Promise<{ readonly outcome: RulesetOutcome; readonly rules: number; readonly note: string }> {
    const former = this.#inForce;
    let note = "";
    let rules = 0;
    const outcome = await applyRuleset(this.#configuration.rulesDir, delivery, {
      check: async (files) => {
        const checked = await this.#configuration.check(settings, files, timeoutMs);
        rules = checked.rules;
        return checked.faults;
      },
      seal: (dir, files) => keepLastGood(dir, { settings, files }),
      reload: async (which, files) => {
        if (which === "former") return former === null ? null : this.#load(former, this.#inForce);
        const next = { settings, files, yaml: this.#configuration.render(settings, files) };
        const tapIndex = await observeTap(DEVICE);
        if (tapIndex === null) note = `waits for its tap ${DEVICE}`;
        return this.#load(next, this.#inForce);
      },
    });
    return { outcome, rules, note };
  }

  /** Refused at the start: what ran before the start runs again, if it still passes the check. */
  async #resume(): Promise<void> {
    const lastGood = await readLastGood(this.#configuration.rulesDir);
    if (lastGood === null) return this.#context.health.degraded("has no configuration that it can use");
    const { settings, files } = lastGood;
    if ((await this.#configuration.check(settings, files)).faults.length > 0) {
      return this.#context.health.degraded("its last good configuration no longer passes the check");
    }
    this.#context.log.info("goes on with its last good configuration");
    const yaml = this.#configuration.render(settings, files);
    const failure = await this.#load({ settings, files, yaml }, null);
    if (failure !== null) this.#context.health.degraded(failure);
  }

  #required(): InForce {
    if (this.#inForce === null) throw new Error("it has no configuration yet");
    return this.#inForce;
  }

  /** Makes a configuration the running one; null when it is, else why not. */
  async #load(next: InForce, running: InForce | null): Promise<string | null> {
    await this.#configuration.write(next.yaml);
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

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }
}

/** All files of a set's delivery lie somewhere else than in the inbox of settings. */
function deliveryOf({ version }: RulesetRequest, beside: readonly RuleFile[]): RulesetDelivery {
  return { dir: "/", version: `set-${version}`, names: [], beside };
}

/** Whether a reload of the rules takes the running Suricata to the new configuration. */
function onlyRulesDiffer(running: InForce, next: InForce): boolean {
  const withoutRules = ({ settings }: InForce): string =>
    JSON.stringify({ ...settings, ruleFiles: [], distributionRules: true, managedRules: true });
  return withoutRules(running) === withoutRules(next);
}
