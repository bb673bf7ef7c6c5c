/** Fetch probe: fetches what its settings name, one after the other, and emits what came of each. */
import type { IncomingMessage } from "node:http";
import { requestThroughEgress, runInstrument, SdkError } from "@bulkhead/sdk";
import { Settings } from "./settings.ts";

const TIMEOUT_MS = 15_000;
/** Enough to see what it is. */
const SHOWN_CHARS = 200;
const MOST_BYTES = 1024 * 1024;

runInstrument({
  config: Settings,
  start(context) {
    let timer: NodeJS.Timeout | undefined;
    return {
      apply({ urls, ca, intervalMs }) {
        clearInterval(timer);
        const round = async (): Promise<void> => {
          for (const url of urls) await context.emit("fetch-probe.result", await fetchOne(url, ca));
        };
        const look = (): void => {
          round().catch((error: unknown) => context.log.error(`a round failed: ${String(error)}`));
        };
        timer = setInterval(look, intervalMs);
        look();
        context.health.ready();
      },
      stop() {
        clearInterval(timer);
      },
    };
  },
});

async function fetchOne(url: string, ca: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const response = await requestThroughEgress(new URL(url), { signal, ...(ca === "" ? {} : { ca }) });
    return { url, status: response.statusCode ?? 0, text: (await textOf(response)).slice(0, SHOWN_CHARS) };
  } catch (error) {
    if (error instanceof SdkError) return { url, code: error.code, message: error.message };
    return { url, code: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response) {
    // Without an encoding a response gives buffers alone.
    const buffer = chunk as Buffer;
    bytes += buffer.length;
    if (bytes > MOST_BYTES) throw new RangeError("the answer is too long");
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString("utf8");
}
