/**
 * The mirred action of a tap: what copies frames onto its wire, and what counts them.
 *
 * Invariants: it is a named action (`tc actions`), so its counts survive the filter, the wire and the span's device;
 * its cookie says from which count of the span on the tap has been seeing, which expression and which bytecode are
 * meant to be in force, so that this needs no file and lives exactly as long as the counts do.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { WardenError } from "../error.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { tapIndex, wireDeviceName } from "./naming.ts";
import type { TapId } from "./naming.ts";
import { observeMirred } from "./traffic-control.ts";
import type { MirredAction } from "./traffic-control.ts";

/** What the 16 bytes of a tap's cookie say. */
export interface TapCookie {
  /** Frames that the span had seen when the tap began. */
  readonly seenBefore: number;
  /** Random, 2 bytes in hex: tells incarnations apart that began at the same count. */
  readonly incarnation: string;
  /** shortDigest of the expression and of its bytecode, 4 bytes in hex each. */
  readonly expression: string;
  readonly bytecode: string;
}

export function renderCookie(cookie: TapCookie): string {
  const before = cookie.seenBefore.toString(16).padStart(12, "0");
  return `${before}${cookie.incarnation}${cookie.expression}${cookie.bytecode}`;
}

/** Null if the cookie is none of ours. */
export function parseCookie(cookie: string): TapCookie | null {
  const groups =
    /^(?<before>[0-9a-f]{12})(?<incarnation>[0-9a-f]{4})(?<expression>[0-9a-f]{8})(?<bytecode>[0-9a-f]{8})$/.exec(
      cookie,
    )?.groups;
  if (!groups) return null;
  const { before = "", incarnation = "", expression = "", bytecode = "" } = groups;
  return { seenBefore: Number.parseInt(before, 16), incarnation, expression, bytecode };
}

/** Makes or changes a tap's action; counts of an existing one are kept. The wire must exist. */
export async function applyMirrorAction(
  namespace: NetworkNamespace,
  slug: string,
  tap: TapId,
  cookie: string,
): Promise<void> {
  const mirror = ["action", "mirred", "egress", "mirror", "dev", wireDeviceName(slug, tap), "continue"];
  const identity = ["index", String(tapIndex(slug, tap)), "cookie", cookie];
  await namespace.run(["tc", "actions", "replace", ...mirror, ...identity]);
}

/**
 * Removes a tap's action with its counts, once no filter uses it: a removed filter lets go of its action only after an
 * RCU grace period (net/sched/cls_bpf.c, cls_bpf_delete_prog_work). Idempotent.
 *
 * @throws WardenError `datapath-mirror-in-use` if a filter still uses it after five seconds
 */
export async function removeMirrorAction(namespace: NetworkNamespace, index: number): Promise<void> {
  for (let waitedMs = 0; ; waitedMs += pollMs) {
    const action = (await observeMirred(namespace)).get(index);
    if (action === undefined) return;
    if (action.users === 0) break;
    if (waitedMs > releaseLimitMs) {
      throw new WardenError("datapath-mirror-in-use", `action ${index} is used by ${action.users} filters`, {
        fields: { index, users: action.users },
      });
    }
    await sleep(pollMs);
  }
  await namespace.run(["tc", "actions", "del", "action", "mirred", "index", String(index)]);
}

const pollMs = 20;
const releaseLimitMs = 5_000;

/** After a wire was made anew: an existing mirror goes on onto it. Without a mirror nothing happens. */
export async function rebindMirror(namespace: NetworkNamespace, slug: string, tap: TapId): Promise<void> {
  const action = (await observeMirred(namespace)).get(tapIndex(slug, tap));
  if (action === undefined || isBound(action, slug, tap)) return;
  await applyMirrorAction(namespace, slug, tap, action.cookie);
}

/** True if the action copies onto the tap's present wire. */
export function isBound(action: MirredAction, slug: string, tap: TapId): boolean {
  return action.device === wireDeviceName(slug, tap) && action.control === "continue";
}
