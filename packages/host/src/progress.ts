/**
 * Progress of a long operation: events through a port, so that the caller may print, log or drop them.
 */
import { errorMessage } from "./error.ts";

export interface ProgressEvent {
  /** Short and stable, such as `packages`. */
  readonly step: string;
  readonly state: "start" | "done" | "failed";
  /** Words for a person. */
  readonly detail: string;
  /** How long the step took; 0 at its start. */
  readonly ms: number;
}

export type Progress = (event: ProgressEvent) => void;

/**
 * Runs one step and reports its start and end. `work` returns its result and the words that say what was done.
 * @throws what `work` throws, after it was reported
 */
export async function reportStep<T>(
  progress: Progress,
  step: string,
  detail: string,
  work: () => Promise<{ readonly detail: string; readonly value: T }>,
): Promise<T> {
  const startedMs = performance.now();
  const elapsedMs = (): number => Math.round(performance.now() - startedMs);
  progress({ step, state: "start", detail, ms: 0 });
  try {
    const result = await work();
    progress({ step, state: "done", detail: result.detail, ms: elapsedMs() });
    return result.value;
  } catch (error) {
    progress({ step, state: "failed", detail: errorMessage(error), ms: elapsedMs() });
    throw error;
  }
}
