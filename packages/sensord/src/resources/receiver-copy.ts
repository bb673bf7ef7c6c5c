/**
 * Receiver copy: what a receiver has of a resource, as the publisher's versions and its own answers change it. Pure.
 */
import type { Name, ResourceAnswer, ResourceNotice } from "@bulkhead/schema";
import type { KeptResource, KeptVersion, ReceiverCopy } from "./resource-file.ts";
import { keyOf, pathBelow } from "./resource-key.ts";

/** After what it said of a version. */
export function afterAnswer(
  { current: newest }: KeptResource,
  copy: ReceiverCopy,
  notice: ResourceNotice,
  answer: ResourceAnswer,
): ReceiverCopy {
  const { version, sha256, sizeBytes, mediaType, deliveredAt } = notice;
  if (copy.current?.version === version) {
    const good = answer.outcome === "taken";
    // One that waits for a newer version goes on waiting for it.
    if (newest.version !== version) return { ...copy, good };
    const detail = answer.outcome === "failed" ? answer.message : "";
    return { ...copy, good, state: answer.outcome, detail };
  }
  // A newer one came while it took this one, or it was told of the last good one again.
  const isNewer = copy.lastGood === null || countOf(version) > countOf(copy.lastGood.version);
  if (answer.outcome !== "taken" || !isNewer) return copy;
  return { ...copy, lastGood: { version, sha256, sizeBytes, mediaType, deliveredAt } };
}

export function noticeOf(one: KeptResource, version: KeptVersion): ResourceNotice {
  const key = keyOf(one);
  return { ...key, ...version, path: pathBelow(key, version.version) };
}

export function nothingOf(to: Name): ReceiverCopy {
  return { to, current: null, good: false, lastGood: null, state: "waiting", detail: "" };
}

/** After the current version was placed with it. */
export function afterPlacing({ current }: KeptResource, copy: ReceiverCopy): ReceiverCopy {
  const lastGood = copy.good ? copy.current : copy.lastGood;
  return { to: copy.to, current, good: false, lastGood, state: "waiting", detail: "" };
}

function countOf(version: string): number {
  return Number.parseInt(version, 10); // its form is a count, a dash and a hash
}
