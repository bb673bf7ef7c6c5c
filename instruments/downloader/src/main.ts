/** Downloader's process: wires its parts to the platform. */
import { join } from "node:path";
import { requestThroughEgress, runInstrument } from "@bulkhead/sdk";
import { downloaderApi } from "./api.ts";
import { Downloader } from "./downloader.ts";
import { healthOf } from "./health-text.ts";
import { Settings } from "./settings.ts";

runInstrument({
  config: Settings,
  start(context) {
    const { environment, health, log } = context;
    const tell = (result: Readonly<Record<string, unknown>>): void => {
      context
        .emit("downloader.result", result)
        .catch((error: unknown) => log.warn(`a result was not emitted: ${String(error)}`));
    };
    let isConfigured = false;
    const downloader = new Downloader({
      dataDir: join(environment.dataDir, "store"),
      request: requestThroughEgress,
      deliver: (options) => context.deliver(options),
      now: Date.now,
      random: Math.random,
      onRun({ name }, outcome, { current }) {
        const { sha256 = null, sizeBytes = null } = current ?? {};
        tell({ source: name, ...outcome, sha256, sizeBytes });
        if ("reason" in outcome)
          log.warn(`${name}: ${outcome.outcome}, ${outcome.reason}: ${outcome.detail}`);
        else if (outcome.outcome === "new") log.info(`${name}: a new version, ${sizeBytes} bytes`);
      },
      onDelivered({ name }, { version, receivers, sha256 }) {
        tell({ source: name, outcome: "delivered", version, receivers, sha256 });
        log.info(`${name}: handed over as ${version}, to ${receivers.join(", ") || "nobody yet"}`);
      },
      onImport({ bundle, problem, files }) {
        if (problem !== null) log.warn(`${bundle}: ${problem.reason}: ${problem.detail}`);
        for (const { source, outcome, reason, detail } of files) {
          tell({ source, outcome, bundle, ...(reason === null ? {} : { reason, detail }) });
          if (reason !== null) log.warn(`${bundle}, ${source}: ${reason}: ${detail}`);
        }
      },
      onChange() {
        if (isConfigured) health.set(healthOf(downloader.status));
      },
      onProblem: (text) => log.warn(text),
    });
    context.serveUi(downloaderApi(downloader));
    return {
      async apply(settings, { files }) {
        await downloader.apply(settings, files === null ? null : join(environment.inboxDir, files.version));
        isConfigured = true;
        health.set(healthOf(downloader.status));
      },
      stop: () => downloader[Symbol.asyncDispose](),
    };
  },
});
