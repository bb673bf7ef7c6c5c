/**
 * demo: everything, from a bare host to alerts of attacks on a small protected network, by an IDS
 * that cannot send a frame. Leaves it running for a look around.
 */
import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type HostCheck, setup, startDemoNetwork, up } from "@bulkhead/host";
import { DEFAULT_INSTALLATION } from "@bulkhead/schema";
import { attackDemoNetwork, DEMO_PACKAGES, DEMO_RULES_FILE, spanDevice } from "@bulkhead/testkit";
import type { Command } from "commander";
import { command, type Context, contextOf } from "../command.ts";
import { renderDemoSite } from "../demo/site.ts";
import { type DemoWatch, watchDemo } from "../demo/watch.ts";
import { CliError } from "../error.ts";
import { tone } from "../output.ts";
import { renderChecks } from "../render/checks.ts";
import { progressPrinter, renderTook } from "../render/progress.ts";
import { renderInstruments, renderTaps } from "../render/status.ts";
import { renderPhrase } from "../render/vault.ts";
import { runtimeOption } from "./host.ts";
import { applyFile } from "./site.ts";

const WATCH_DEADLINE_MS = 120_000;
const LINGER_MS = 3_000;

export function demoCommand(): Command {
  return command(
    "demo",
    "set up everything, protect a small network, attack it, and show what the sensor sees",
    ["sudo ./bulkhead demo", "sudo ./bulkhead demo --json", "sudo ./bulkhead demo --installation second"],
  )
    .addOption(runtimeOption())
    .action(async (options) => {
      const context = contextOf(options);
      const startedMs = performance.now();
      await prepare(context, options.runtime);
      const since = new Date();
      const watching = watchDemo(context, { since, deadlineMs: WATCH_DEADLINE_MS, lingerMs: LINGER_MS });
      // The network attacks itself now and then; these come at once.
      const attacks = attackDemoNetwork(context.layout.slug, context.signal);
      const [seen] = await Promise.all([watching, attacks]);
      const readyMs = Math.round(performance.now() - startedMs);
      context.output.result(resultOf(seen, readyMs), () => renderDemo(seen, readyMs, context));
    });
}

async function prepare(context: Context, runtime: "lxd" | "incus" | undefined): Promise<void> {
  const { installation, layout, output, signal } = context;
  const progress = progressPrinter();
  const onChecks = (checks: readonly HostCheck[]): void => output.note(renderChecks(checks));
  const onRecoveryPhrase = (phrase: string): void => output.note(renderPhrase(phrase));
  await setup(
    { installation, runtime, signal, onChecks, onRecoveryPhrase, extraPackages: DEMO_PACKAGES },
    progress,
  );
  await up({ installation, signal }, progress);
  await startDemoNetwork({ installation, signal }, progress);
  const file = await writeDemoSite(context);
  const startedMs = performance.now();
  const reply = await applyFile(file, context);
  if (reply === null) throw new CliError("demo-site-refused", `the demo's own site has faults: ${file}`);
  const refused = reply.configs.filter((config) => config.outcome === "refused");
  if (refused.length > 0) {
    const words = refused.map((c) => `${c.instrument}: ${c.faults.map((f) => f.message).join("; ")}`);
    throw new CliError("demo-config-refused", words.join("; "));
  }
  progress({
    step: "site",
    state: "done",
    detail: `${layout.siteLink}, ${reply.steps} steps`,
    ms: performance.now() - startedMs,
  });
}

async function writeDemoSite({ installation, layout }: Context): Promise<string> {
  const dir = join(layout.etcDir, "demo");
  await mkdir(dir, { recursive: true, mode: 0o755 });
  const file = join(dir, "site.yaml");
  const sensor = installation === DEFAULT_INSTALLATION ? "demo" : installation;
  await writeFile(file, renderDemoSite(sensor, spanDevice(layout.slug)), { mode: 0o644 });
  await copyFile(DEMO_RULES_FILE, join(dir, "demo.rules"));
  return file;
}

function resultOf(seen: DemoWatch, readyMs: number): object {
  const { status } = seen;
  return {
    ok: true,
    alerts: seen.alerts,
    dnsRecords: seen.dnsRecords,
    instruments: status.instruments.map(({ sensor, name, package: of, state }) => ({
      sensor,
      name,
      package: of,
      state,
    })),
    taps: seen.taps.map(
      ({ sensor, instrument, seen: frames, filtered, mirrored, wireDropped, toolDropped }) => ({
        sensor,
        instrument,
        seen: frames,
        filtered,
        mirrored,
        wireDropped,
        toolDropped,
      }),
    ),
    readyMs,
    packetToEventMs: {
      p50: quantile(seen.packetToEventMs, 0.5),
      p99: quantile(seen.packetToEventMs, 0.99),
      n: seen.packetToEventMs.length,
    },
  };
}

function renderDemo(seen: DemoWatch, readyMs: number, { installation, layout }: Context): string {
  const { status } = seen;
  const option = installation === DEFAULT_INSTALLATION ? "" : ` --installation ${installation}`;
  return [
    `\n${tone("good", "The sensor works.")} ${seen.alerts} alerts and ${seen.dnsRecords} passive-DNS records in this run; ready after ${renderTook(readyMs)}; from packet to event ${quantile(seen.packetToEventMs, 0.5)} ms (median of ${seen.packetToEventMs.length}).`,
    renderInstruments(status.instruments),
    renderTaps(status.taps),
    `It goes on running. Look around:
  sudo ./bulkhead events --follow${option}
  sudo ./bulkhead explain ids${option}
  sudo ./bulkhead query passive-dns www.corp.example${option}
  sudo ./bulkhead plan ${join(layout.etcDir, "demo", "site.yaml")}${option}
  sudo ./bulkhead down --purge${option}      leaves nothing behind`,
  ].join("\n\n");
}

/** Nearest rank; 0 for none. */
function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0;
}
