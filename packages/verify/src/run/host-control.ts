/**
 * The control of what no container of ours can be made without: the same adversary, with the same program, as the
 * host's own root and outside of any container. Every act is chosen to change nothing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, join } from "node:path";
import { CANARY_NAME, type CanaryReply, type ContainmentLayer } from "@bulkhead/schema";
import { attack, type Finding } from "./attack.ts";
import { makeStand } from "./stand.ts";
import type { Session } from "./session.ts";
import { placeOf } from "./place.ts";

/** What `--without` takes for these. */
export const AS_HOST_ROOT = "as-host-root";

/**
 * What the host's root can do is the same for every instrument: `known` are findings for others, made once.
 * @returns by attempt, those of the session's
 */
export async function hostFindings(
  session: Session,
  canary: CanaryReply,
  known: Map<string, Finding>,
): Promise<ReadonlyMap<string, Finding>> {
  const wanted = session.attempts.filter(
    ({ control, mayBeAbsent }) => control.kind === "host" || mayBeAbsent === true,
  );
  const attempts = wanted.filter(({ id }) => !known.has(id));
  const found = attempts.length === 0 ? [] : await actAsRoot(session, canary, attempts);
  for (const finding of found) known.set(finding.attempt.id, finding);
  const ids = new Set(wanted.map(({ id }) => id));
  return new Map([...known].filter(([id]) => ids.has(id)));
}

/** The same by the host's root inside the canary's network namespace, where nobody in the canary holds a right. */
export async function namespaceFindings(
  session: Session,
  canary: CanaryReply,
  without: readonly ContainmentLayer[],
): Promise<readonly Finding[]> {
  return await actAsRoot(session, canary, session.attempts, { pid: canary.pid, without });
}

async function actAsRoot(
  session: Session,
  canary: CanaryReply,
  attempts: Session["attempts"],
  inside?: { readonly pid: number; readonly without: readonly ContainmentLayer[] },
): Promise<readonly Finding[]> {
  const { layout, instrument, onProgress } = session;
  onProgress(`${instrument}: ${attempts.length} of these acts as the host's root, where they must succeed`);
  await using stand = await makeStand({ ...session, attempts }, canary, inside?.without ?? []);
  const socketPath = join(layout.socketsDir, CANARY_NAME, "verify.sock");
  const argv = [join(layout.optDir, "adversary/adversary.cjs"), socketPath];
  const node = [join(layout.nodeDir, "bin/node"), ...argv];
  const enter = inside === undefined ? [] : ["nsenter", `--net=/proc/${inside.pid}/ns/net`, "--"];
  const [file = "", ...words] = [...enter, ...node];
  const child = spawn(file, words, {
    stdio: ["ignore", "ignore", "inherit"],
    cwd: "/",
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
  });
  const gone = new AbortController();
  const ended = once(child, "close").finally(() => gone.abort());
  try {
    const adversary = await stand.relay.adversary(0, 30_000, gone.signal);
    const place = { ...placeOf(canary), pid: child.pid ?? 0, host: true };
    const params = { ...stand.params, linkDir: dirname(stand.params.hostFile) };
    const { counters } = stand;
    return await attack({ adversary, attempts, place, params, counters });
  } finally {
    child.kill("SIGKILL");
    await ended;
  }
}
