/**
 * Engine: one Suricata process on one tap, with the configuration file that it is given.
 *
 * Invariants: the FIFO is held open before Suricata starts and drained after it ends; the counters of
 * each start are reported with that start's epoch, the last ones before the next begin; a tap that was
 * made anew is captured anew.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { errorText, type InstrumentContext, type LineSource, Tool, type ToolRun } from "@bulkhead/sdk";
import { askSuricata, readCaptureCounters, readReloadTime } from "./command-socket.ts";
import { parseEngineLine, parseLastCounters } from "./engine-log.ts";
import { openEveFeed } from "./eve-feed.ts";
import type { SuricataPaths } from "./suricata-yaml.ts";
import { observeTap, waitForTap } from "./tap.ts";

const COUNT_EVERY_MS = 1_000;
/** Loading a large ruleset takes seconds; the platform waits for the answer up to a minute. */
const START_TIMEOUT_MS = 45_000;
/** Suricata's notice that all threads run, the capture's too (tm-threads.c, TmThreadWaitOnThreadRunning). */
const ENGINE_STARTED = /\bEngine started\b/;
const RELOAD_TIMEOUT_MS = 45_000;

export interface EngineFiles extends Pick<SuricataPaths, "interface" | "runDir" | "fifo" | "commandSocket"> {
  readonly program: string;
  /** What it starts with, and what a reload of its rules reads. */
  readonly yaml: string;
}

export class Engine {
  readonly #context: InstrumentContext;
  readonly #files: EngineFiles;
  readonly #tool: Tool;
  #feed: LineSource | null = null;
  #tapIndex: number | null = null;
  /** Epoch of the start that has said that it captures. */
  #capturing: string | null = null;
  #counting: Promise<void> | null = null;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;

  constructor(context: InstrumentContext, files: EngineFiles) {
    this.#context = context;
    this.#files = files;
    this.#tool = new Tool({
      started: (run) => this.#started(run),
      ended: (run, how, expected) => this.#ended(run, how, expected),
      line: (line) => this.#line(line),
    });
  }

  async open(): Promise<void> {
    await mkdir(join(this.#files.runDir, "log"), { recursive: true });
    this.#feed = await openEveFeed(this.#files.fifo, this.#context);
    this.#timer = setInterval(
      () => (this.#counting ??= this.#count().finally(() => (this.#counting = null))),
      COUNT_EVERY_MS,
    );
  }

  get isRunning(): boolean {
    return this.#tool.run !== null;
  }

  /** Ends Suricata, which writes what it holds of flows, and hands all of it on. */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#timer);
    await this.#tool.stop();
    await this.#feed?.drain();
    await this.#feed?.[Symbol.asyncDispose]();
  }

  /** Has the running Suricata read its rules again. @throws Error when it kept the former ones. */
  async reloadRules(): Promise<void> {
    const before = await readReloadTime(this.#files.commandSocket);
    const reply = await askSuricata(this.#files.commandSocket, "ruleset-reload-rules", {}, RELOAD_TIMEOUT_MS);
    if (!reply.ok) throw new Error(reply.message);
    // Suricata says OK to a reload that it then gave up.
    if ((await readReloadTime(this.#files.commandSocket)) === before) {
      throw new Error("Suricata kept its former rules; its log says why");
    }
  }

  /** Starts Suricata, or ends it first where it runs. @throws Error when this start does not capture. */
  async restart(): Promise<void> {
    await this.#tool.stop();
    await this.#feed?.drain();
    await rm(this.#files.commandSocket, { force: true });
    const { program, runDir, yaml, interface: device } = this.#files;
    const args = ["-c", yaml, `--af-packet=${device}`, "-l", join(runDir, "log")];
    const run = await this.#tool.start({ file: program, args, cwd: runDir });
    await this.#whenReady(run);
  }

  /** Starts Suricata as soon as there is a tap; a failure is logged, and the health says so. */
  async startWithTap(): Promise<void> {
    this.#context.health.set({ state: "starting", detail: `waits for its tap ${this.#files.interface}` });
    const index = await waitForTap(this.#files.interface, this.#context.signal);
    if (index === null || this.#tool.run !== null || this.#stopping) return;
    try {
      await this.restart();
    } catch (error) {
      this.#context.log.error(`start: ${errorText(error)}`);
    }
  }

  /** Ready when this start captures: it says so, and its capture answers. A start that ends first has failed. */
  async #whenReady(run: ToolRun): Promise<void> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    while (this.#tool.run?.epoch === run.epoch) {
      // The socket answers a moment before the capture begins.
      const answers = await readCaptureCounters(this.#files.commandSocket, this.#files.interface).then(
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
      const counters = await readCaptureCounters(this.#files.commandSocket, this.#files.interface);
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
    this.#tapIndex = (await observeTap(this.#files.interface)) ?? this.#tapIndex;
  }

  async #followTap(): Promise<void> {
    const index = await observeTap(this.#files.interface);
    if (index === null || index === this.#tapIndex || this.#tapIndex === null) return;
    this.#context.log.warn(`the tap ${this.#files.interface} was made anew: Suricata is restarted on it`);
    try {
      await this.restart();
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
