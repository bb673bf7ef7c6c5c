/**
 * The counters of a span: frames that came in, and frames that something tried to send out of it.
 *
 * Invariants: they are named mirred actions whose device is gone: the kernel counts the frame, copies nothing and goes
 * on with the action's control, `drop` (net/sched/act_mirred.c, tcf_mirred_act). So the last ingress guard and the
 * egress guard count what they drop, at no filter of their own, and the counts outlive filters, qdisc and device.
 * act_gact, the usual way, is missing from some kernels.
 */
import { observeLink } from "./namespace.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { observeMirred } from "./traffic-control.ts";

/** Index of the action that counts what arrives on the span. */
export const seenIndex = 1;
/** Index of the action that counts what was sent towards the span's network; it should stay at 0. */
export const egressIndex = 2;

/** Makes the counters that are missing; existing ones keep their counts. */
export async function ensureSpanCounters(namespace: NetworkNamespace): Promise<void> {
  const present = await observeMirred(namespace);
  const missing = [seenIndex, egressIndex].filter((index) => !present.has(index));
  if (missing.length === 0) return;
  await using undo = new AsyncDisposableStack();
  // A left-over of an interrupted call would be in the way.
  if (await observeLink(namespace, shortLived)) await namespace.run(["ip", "link", "del", "dev", shortLived]);
  await namespace.run([
    "ip",
    "link",
    "add",
    "name",
    shortLived,
    "type",
    "veth",
    "peer",
    "name",
    `${shortLived}p`,
  ]);
  undo.defer(async () => {
    await namespace.run(["ip", "link", "del", "dev", shortLived]);
  });
  for (const index of missing) {
    const target = [
      "action",
      "mirred",
      "egress",
      "mirror",
      "dev",
      shortLived,
      "drop",
      "index",
      String(index),
    ];
    await namespace.run(["tc", "actions", "add", ...target]);
  }
}

/** An action needs a device when it is made; this one is removed at once. */
const shortLived = "bhcount";
