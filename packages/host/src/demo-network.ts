/**
 * The demo's protected network as a supervised process of an installation: started, and waited for.
 *
 * The network itself is the test kit's program, which set-up bundled; here it is only kept running. `down` stops it,
 * `down --purge` removes its namespaces.
 */
import { setTimeout as delay } from "node:timers/promises";
import { ensureDirectory } from "./atomic-file.ts";
import { askCommand } from "./command.ts";
import { HostError } from "./error.ts";
import { withHostLock } from "./host-lock.ts";
import { parseInstallation, requireSettings } from "./installations.ts";
import { observeBuild } from "./programs.ts";
import { type Progress, reportStep } from "./progress.ts";
import { planDemoService, programFile } from "./service.ts";
import { requireRoot } from "./setup.ts";
import { openSupervisor } from "./supervision.ts";

export interface DemoNetworkOptions {
  readonly installation: string;
  /** 60 s by default. */
  readonly readyTimeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Has the demo's network stand, with its hosts at work.
 * @throws HostError `host-not-root`, `host-not-set-up`, `host-supervisor-failed`, `host-not-ready`
 */
export async function startDemoNetwork(options: DemoNetworkOptions, progress: Progress): Promise<void> {
  requireRoot();
  const layout = parseInstallation(options.installation);
  const settings = await requireSettings(layout);
  await reportStep(progress, "demo-network", "making a small network to protect", async () => {
    const service = planDemoService(layout, await observeBuild(layout, "demo"));
    await withHostLock(options.signal, async () => {
      await ensureDirectory(service.logDir, { uid: 0, gid: 0, mode: 0o700 });
      await openSupervisor(settings.supervisor).start([service]);
    });
    const node = `${layout.nodeDir}/bin/node`;
    const question = [programFile(layout, "demo"), "observe", "--slug", layout.slug];
    const { readyTimeoutMs = 60_000, signal } = options;
    const deadlineMs = performance.now() + readyTimeoutMs;
    while ((await askCommand(node, question)).exitCode !== 0) {
      if (performance.now() > deadlineMs) {
        throw new HostError(
          "host-not-ready",
          `the demo's network does not stand after ${readyTimeoutMs} ms`,
          {
            advice: `see ${service.logDir}/current, or journalctl -u ${service.unit}`,
          },
        );
      }
      await delay(200, undefined, signal === undefined ? {} : { signal });
    }
    return { value: undefined, detail: "clients, servers and an attacker on one switch" };
  });
}
