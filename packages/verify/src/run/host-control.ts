/**
 * The control of what no container of ours can be made without: the same adversary, with the same program, as the
 * host's own root and outside of any container. Every act is chosen to change nothing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { CANARY_NAME, type CanaryReply } from "@bulkhead/schema";
import { attack, type Finding } from "./attack.ts";
import { makeStand } from "./stand.ts";
import type { Session } from "./session.ts";
import { placeOf } from "./place.ts";

/** What `--without` takes for these. */
export const AS_HOST_ROOT = "as-host-root";

/** By attempt. */
export async function hostFindings(
  session: Session,
  canary: CanaryReply,
): Promise<ReadonlyMap<string, Finding>> {
  const { layout, instrument, onProgress } = session;
  const attempts = session.attempts.filter(
    ({ control, mayBeAbsent }) => control.kind === "host" || mayBeAbsent === true,
  );
  if (attempts.length === 0) return new Map();
  onProgress(`${instrument}: ${attempts.length} of these acts as the host's root, where they must succeed`);
  await using stand = await makeStand({ ...session, attempts }, canary, []);
  const socketPath = join(layout.socketsDir, CANARY_NAME, "verify.sock");
  const argv = [join(layout.optDir, "adversary/adversary.cjs"), socketPath];
  const child = spawn(join(layout.nodeDir, "bin/node"), argv, {
    stdio: ["ignore", "ignore", "inherit"],
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const gone = new AbortController();
  const ended = once(child, "close").finally(() => gone.abort());
  try {
    const adversary = await stand.relay.adversary(0, 30_000, gone.signal);
    const place = { ...placeOf(canary), pid: child.pid ?? 0, host: true };
    const { params, counters } = stand;
    const found = await attack({ adversary, attempts, place, params, counters });
    return new Map(found.map((finding) => [finding.attempt.id, finding]));
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}
