/** What health says of the sources, in one line. Pure. */
import type { DownloaderStatus } from "./downloader.ts";

export interface HealthWords {
  readonly state: "ready" | "degraded";
  readonly detail: string;
}

export function healthOf({ sources, imports }: DownloaderStatus): HealthWords {
  const failing = sources.flatMap(({ name, problem, deliveryProblem, storeProblem }) => {
    if (storeProblem !== null) return [`${name} (its record: ${storeProblem})`];
    if (problem !== null) return [`${name} (${problem.reason})`];
    return deliveryProblem === null ? [] : [`${name} (not handed over)`];
  });
  const refused = imports.flatMap(({ bundle, problem, files }) => {
    if (problem !== null) return [`${bundle} (${problem.reason})`];
    const file = files.find(({ reason }) => reason !== null && reason !== "older");
    return file === undefined ? [] : [`${bundle} (${file.source}: ${file.reason})`];
  });
  const count = `${sources.length} ${sources.length === 1 ? "source" : "sources"}`;
  const all = [
    count,
    failing.length === 0 ? "" : `failing: ${failing.join(", ")}`,
    refused.length === 0 ? "" : `not imported: ${refused.join(", ")}`,
  ].filter((part) => part !== "");
  const isWell = failing.length === 0 && refused.length === 0;
  return { state: isWell ? "ready" : "degraded", detail: all.join("; ") };
}
