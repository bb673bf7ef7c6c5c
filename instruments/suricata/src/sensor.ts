/**
 * Sensor: one Suricata on one tap, configured, supervised and counted.
 *
 * Invariants: nothing becomes the running configuration that `suricata -T` did not pass; rules
 * alone change without a restart, anything else by an orderly one; the FIFO is held open before
 * Suricata starts and drained after it ends; the counters of each start are reported with that
 * start's epoch, the last ones before the next begin.
 */
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type { ConfigCommand } from "@bulkhead/schema";
import {
  applyRuleset,
  errorText,
  Tool,
  type ApplyOutcome,
  type InstrumentContext,
  type LineSource,
  type RuleFile,
  type ToolRun,
} from "@bulkhead/sdk";
import { checkConfiguration } from "./check.ts";
import { askSuricata, readCaptureCounters, readReloadTime } from "./command-socket.ts";
import { parseEngineLine, parseLastCounters } from "./engine-log.ts";
import { openEveFeed } from "./eve-feed.ts";
import { keepLastGood, readLastGood } from "./last-good.ts";
import type { Settings } from "./settings.ts";
import { renderSuricataYaml, type SuricataPaths } from "./suricata-yaml.ts";
import { observeTap, waitForTap } from "./tap.ts";

const PROGRAM = "/usr/bin/suricata";
const DEVICE = "mon0";
const COUNT_EVERY_MS = 1_000;
/** Loading a large ruleset takes seconds; the platform waits for the answer up to a minute. */
const START_TIMEOUT_MS = 45_000;
/** Suricata's notice that all threads run, the capture's too (tm-threads.c, TmThreadWaitOnThreadRunning). */
const ENGINE_STARTED = /\bEngine started\b/;
const RELOAD_TIMEOUT_MS = 45_000;

/** What is in force: settings, the rules, and the file that says both. */
interface InForce {
  readonly settings: Settings;
  readonly yaml: string;
}

export class SuricataSensor {
  readonly #context: InstrumentContext;
  readonly #runDir: string;
  readonly #rulesDir: string;
  readonly #tool: Tool;
  #feed: LineSource | null = null;
  #inForce: InForce | null = null;
  #tapIndex: number | null = null;
  /** Epoch of the start that has said that it captures. */
  #capturing: string | null = null;
  #counting: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(context: InstrumentContext) {
    this.#context = context;
    const { dataDir } = context.environment;
    this.#runDir = join(dataDir, "run", "suricata");
    this.#rulesDir = join(dataDir, "rules");
    this.#tool = new Tool({
      started: (run) => this.#started(run),
      ended: (run, how, expected) => this.#ended(run, how, expected),
      line: (line) => this.#line(line),
    });
  }

  async open(): Promise<void> {
    await mkdir(join(this.#runDir, "log"), { recursive: true });
    this.#feed = await openEveFeed(this.#paths([]).fifo, this.#context);
    this.#timer = setInterval(
      () => (this.#counting ??= this.#count().finally(() => (this.#counting = null))),
      COUNT_EVERY_MS,
    );
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

  /** Ends Suricata, which writes what it holds of flows, and hands all of it on. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    await this.#tool.stop();
    await this.#feed?.drain();
    await this.#feed?.[Symbol.asyncDispose]();
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
    const file = join(this.#runDir, "suricata.yaml");
    await writeFile(`${file}.next`, next.yaml);
    await rename(`${file}.next`, file);
    this.#inForce = next;
    try {
      if (running !== null && this.#tool.run !== null && onlyRulesDiffer(running, next))
        await this.#reloadRules();
      else if ((await observeTap(DEVICE)) !== null) await this.#restart();
      else void this.#startWithTap();
      return null;
    } catch (error) {
      this.#inForce = running;
      return errorText(error);
    }
  }

  async #reloadRules(): Promise<void> {
    const { commandSocket } = this.#paths([]);
    const before = await readReloadTime(commandSocket);
    const reply = await askSuricata(commandSocket, "ruleset-reload-rules", {}, RELOAD_TIMEOUT_MS);
    if (!reply.ok) throw new Error(reply.message);
    // Suricata says OK to a reload that it then gave up.
    if ((await readReloadTime(commandSocket)) === before) {
      throw new Error("Suricata kept its former rules; its log says why");
    }
  }

  async #restart(): Promise<void> {
    const { commandSocket } = this.#paths([]);
    await this.#tool.stop();
    await this.#feed?.drain();
    await rm(commandSocket, { force: true });
    const yaml = join(this.#runDir, "suricata.yaml");
    const args = ["-c", yaml, `--af-packet=${DEVICE}`, "-l", join(this.#runDir, "log")];
    const run = await this.#tool.start({ file: PROGRAM, args, cwd: this.#runDir });
    await this.#whenReady(run);
  }

  /** Ready when this start captures: it says so, and its capture answers. A start that ends first has failed. */
  async #whenReady(run: ToolRun): Promise<void> {
    const { commandSocket } = this.#paths([]);
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (this.#tool.run?.epoch === run.epoch) {
      // The socket answers a moment before the capture begins.
      const answers = await readCaptureCounters(commandSocket, DEVICE).then(
        (counters) => counters !== null,
        () => false,
      );
      if (answers && this.#capturing === run.epoch) {
        this.#context.health.ready();
        return;
      }
      if (performance.now() > deadline) throw new Error("Suricata does not capture yet; its log says why");
      await delay(100);
    }
    throw new Error("Suricata ended while it started; its log says why");
  }

  async #startWithTap(): Promise<void> {
    this.#context.health.set({ state: "starting", detail: `waits for its tap ${DEVICE}` });
    const index = await waitForTap(DEVICE, this.#context.signal);
    if (index === null || this.#tool.run !== null || this.#stopping) return;
    try {
      await this.#restart();
    } catch (error) {
      this.#context.log.error(`start: ${errorText(error)}`);
    }
  }

  #started(run: ToolRun): void {
    void this.#noteTap();
    this.#context.health.set({
      state: "starting",
      detail: "loads its rules",
      restarts: run.restarts,
      packets: { epoch: run.epoch, received: 0, dropped: 0 },
    });
  }

  #ended(_run: ToolRun, how: string, expected: boolean): void {
    this.#context.health.flush();
    if (expected) return;
    this.#context.log.error(`Suricata ended by itself: ${how}`);
    this.#context.health.degraded(`Suricata ended by itself: ${how}`);
    void this.#feed?.drain();
  }

  #line(line: string): void {
    const { level, message } = parseEngineLine(line);
    this.#context.log[level](message);
    if (ENGINE_STARTED.test(message)) this.#capturing = this.#tool.run?.epoch ?? null;
    const last = parseLastCounters(message);
    if (last !== null) this.#setPackets(this.#tool.run, last);
  }

  /** Every second: counters for the ledger, and whether the tap is still the one that is captured. */
  async #count(): Promise<void> {
    const run = this.#tool.run;
    if (run === null || this.#stopping) return;
    try {
      const counters = await readCaptureCounters(this.#paths([]).commandSocket, DEVICE);
      if (this.#tool.run?.epoch !== run.epoch) return;
      if (counters === null) return this.#context.health.set({ packets: null });
      this.#setPackets(run, counters);
      this.#context.health.ready();
    } catch {
      // It starts, loads rules or is frozen. What it said last is old by now, and not to be told as news.
      this.#context.health.set({ packets: null });
      return;
    }
    await this.#followTap();
  }

  async #noteTap(): Promise<void> {
    this.#tapIndex = (await observeTap(DEVICE)) ?? this.#tapIndex;
  }

  async #followTap(): Promise<void> {
    const index = await observeTap(DEVICE);
    if (index === null || index === this.#tapIndex || this.#tapIndex === null) return;
    this.#context.log.warn(`the tap ${DEVICE} was made anew: Suricata is restarted on it`);
    try {
      await this.#restart();
    } catch (error) {
      this.#context.log.error(`restart: ${errorText(error)}`);
    }
  }

  #setPackets(run: ToolRun | null, counters: { readonly packets: number; readonly drops: number }): void {
    if (run === null) return;
    const { epoch } = run;
    this.#context.health.set({ packets: { epoch, received: counters.packets, dropped: counters.drops } });
  }
}

/** Whether a reload of the rules takes the running Suricata to the new configuration. */
function onlyRulesDiffer(running: InForce, next: InForce): boolean {
  const withoutRules = ({ settings }: InForce): string =>
    JSON.stringify({ ...settings, ruleFiles: [], distributionRules: true });
  return withoutRules(running) === withoutRules(next);
}
