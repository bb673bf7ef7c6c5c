/**
 * One run of a source: fetch, verify, check, take. Whatever happens, its outcome is in the record, and the last good
 * version stays until a better one is whole on the disk.
 */
import { errorText } from "@bulkhead/sdk";
import { fetchText, type RequestPort } from "./answer.ts";
import { BodyFile } from "./body-file.ts";
import { digestFile } from "./durable.ts";
import { fetchContent } from "./fetch-content.ts";
import { Problem } from "./problem.ts";
import { afterFailure, afterSuccess } from "./schedule.ts";
import type { Source } from "./settings.ts";
import type { RunProblem } from "./source-record.ts";
import type { SourceStore } from "./source-store.ts";
import { settingsKey, takeContent } from "./take-content.ts";
import { verifyContent } from "./verify-content.ts";

export interface RunParts {
  readonly request: RequestPort;
  readonly now: () => number;
  readonly random: () => number;
}

export type RunOutcome =
  | { readonly outcome: "new" | "unchanged"; readonly receivedBytes: number }
  | ({ readonly outcome: "failed" | "refused"; readonly receivedBytes: number } & Pick<
      RunProblem,
      "reason" | "detail"
    >);

const MOST_DETAIL = 500;

/** Never rejects but where the record itself cannot be written. */
export async function runSource(
  parts: RunParts,
  source: Source,
  store: SourceStore,
  signal: AbortSignal,
): Promise<RunOutcome> {
  let receivedBytes = 0;
  const onBytes = (bytes: number): void => void (receivedBytes += bytes);
  const { now, random } = parts;
  const at = new Date(now()).toISOString();
  try {
    const outcome = await attempt(parts, source, store, signal, onBytes);
    const { totals } = store.record;
    await store.change({
      lastTryAt: at,
      lastSuccessAt: at,
      nextRunAt: new Date(afterSuccess(now(), source, random)).toISOString(),
      failures: 0,
      problem: null,
      totals: {
        ...totals,
        [outcome === "new" ? "fetched" : "unchanged"]:
          totals[outcome === "new" ? "fetched" : "unchanged"] + 1,
        receivedBytes: totals.receivedBytes + receivedBytes,
      },
    });
    return { outcome, receivedBytes };
  } catch (error) {
    const problem = asProblem(error);
    const { kind, reason } = problem;
    const detail = problem.message.slice(0, MOST_DETAIL);
    // It is not the source's failure, and what was due stays due.
    if (reason === "stopped") return { outcome: kind, reason, detail, receivedBytes };
    const failures = store.record.failures + 1;
    const next = afterFailure(now(), source, failures, problem.retryAfterMs, random);
    const { totals } = store.record;
    await store.change({
      lastTryAt: at,
      nextRunAt: new Date(next).toISOString(),
      failures,
      problem: { at, kind, reason, detail },
      totals: {
        ...totals,
        [kind]: totals[kind] + 1,
        receivedBytes: totals.receivedBytes + receivedBytes,
      },
    });
    return { outcome: kind, reason, detail, receivedBytes };
  }
}

async function attempt(
  { request, now }: RunParts,
  source: Source,
  store: SourceStore,
  signal: AbortSignal,
  onBytes: (bytes: number) => void,
): Promise<"new" | "unchanged"> {
  const { current } = store.record;
  const isOfTheseSettings = current !== null && current.settingsKey === settingsKey(source);
  const fetched = await fetchContent(request, {
    source,
    validators: isOfTheseSettings ? current.validators : null,
    path: store.bodyPath,
    signal,
    onBytes,
    beforeStep: store.beforeStep,
  });
  if (fetched.outcome === "not-modified") return "unchanged";
  try {
    const digests = await digestFile(store.bodyPath);
    const verified = await verifyContent(source, store.bodyPath, digests, (url, what, maxBytes) =>
      fetchText(request, { url, headers: () => ({ accept: "*/*" }), source, signal }, what, maxBytes),
    );
    const { validators, mediaType } = fetched;
    return await takeContent(store, source, {
      file: store.bodyPath,
      digests,
      origin: "network",
      verified,
      validators,
      mediaType,
      nowMs: now(),
    });
  } finally {
    // Whole, it was taken or refused: in neither case is it gone on with.
    await BodyFile.drop(store.bodyPath);
  }
}

/** What is no problem of the source's is one of the volume (full, broken). */
export function asProblem(error: unknown): Problem {
  return error instanceof Problem ? error : new Problem("storage", errorText(error), { cause: error });
}
