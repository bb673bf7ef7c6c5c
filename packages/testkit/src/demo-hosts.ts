/**
 * The demo's hosts: one process in each namespace, steered over its channel.
 *
 * Invariants: starting returns once the servers listen; disposing ends exactly the processes started here; a process
 * that dies makes `failed` settle, and a supervisor starts everything anew. The network must stand already.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { AgentJob, AgentReply, AgentRequest } from "./demo-agent.ts";
import { type DemoCertificate, makeDemoCertificate } from "./demo-certificate.ts";
import { demoFeed } from "./demo-feed.ts";
import { type HostRole, HOST_ROLES, demoTopology } from "./demo-topology.ts";
import { TestkitError } from "./error.ts";
import { inNamespace } from "./listener-process.ts";

export interface DemoHosts extends AsyncDisposable {
  readonly slug: string;
  /** What the clients trust when they meet the web server. */
  readonly trustedCert: string;
  /** Asks a host's process for a job; @throws TestkitError `testkit-host-failed` with what went wrong there. */
  ask(role: HostRole, job: AgentJob): Promise<void>;
  /** Rejects when one of the processes ends by itself; never resolves. */
  readonly failed: Promise<never>;
}

export interface DemoHostsOptions {
  readonly slug: string;
  /** Which hosts; all by default. A host without servers can be run a second time beside the first. */
  readonly roles?: readonly HostRole[];
  /** Starts the rule feed, too, if it is to serve. */
  readonly feed?: FeedService;
  /** The program that runs an agent when called with `agent`: demo-main.ts, or the bundle that it is in. */
  readonly entry?: string;
}

/** What the feed serves, and as whom; both lie there before it starts. */
export interface FeedService {
  readonly directory: string;
  readonly certificate: DemoCertificate;
}

interface Agent {
  readonly ask: (job: AgentJob) => Promise<void>;
  readonly failed: Promise<never>;
  readonly stop: () => Promise<void>;
}

/** Starts the processes, then the servers; @throws TestkitError `testkit-host-failed`. */
export async function startDemoHosts(options: DemoHostsOptions): Promise<DemoHosts> {
  const topology = demoTopology(options.slug);
  const entry = options.entry ?? new URL("demo-main.ts", import.meta.url).pathname;
  await using stack = new AsyncDisposableStack();
  const agents = new Map<HostRole, Agent>();
  for (const role of options.roles ?? HOST_ROLES) {
    const agent = startAgent(role, topology.hosts[role].namespace, entry);
    stack.defer(agent.stop);
    agents.set(role, agent);
  }
  const certificate = await makeDemoCertificate();
  await agents.get("web")?.ask({ kind: "serve-web", certificate });
  await agents.get("dns")?.ask({ kind: "serve-dns" });
  const all = [...agents.values()];
  if (options.feed !== undefined) {
    const agent = startAgent("feed", demoFeed(options.slug).namespace, entry);
    stack.defer(agent.stop);
    const { directory, certificate: own } = options.feed;
    await agent.ask({ kind: "serve-feed", directory, certificate: own });
    all.push(agent);
  }
  const failed = Promise.race(all.map((agent) => agent.failed));
  failed.catch(() => undefined);
  const owned = stack.move();
  return {
    slug: options.slug,
    trustedCert: certificate.cert,
    failed,
    ask: async (role, job) => {
      const agent = agents.get(role);
      if (agent === undefined) throw new TestkitError("testkit-host-failed", `host ${role} was not started`);
      await agent.ask(job);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startAgent(role: HostRole | "feed", namespace: string, entry: string): Agent {
  // Small heaps: these processes serve a handful of requests a second for as long as the demo runs.
  const heap = ["--max-old-space-size=48", "--max-semi-space-size=1"];
  const [file, ...args] = inNamespace(namespace, [process.execPath, ...heap, entry, "agent"]);
  const child = spawn(file, args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const waiting = new Map<number, PromiseWithResolvers<void>>();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  let lastId = 0;
  const fail = (reason: string, cause?: unknown): void => {
    const error = new TestkitError("testkit-host-failed", `host ${role}: ${reason}`, { cause });
    failure.reject(error);
    for (const pending of waiting.values()) pending.reject(error);
    waiting.clear();
  };
  child.on("error", (cause) => fail(cause.message, cause));
  child.on("exit", (code, signal) => fail(`its process ended (${signal ?? code})`));
  child.on("message", (message) => {
    // Only demo-agent.ts is at the other end.
    const { id, error } = message as AgentReply;
    const pending = waiting.get(id);
    waiting.delete(id);
    if (error === undefined) pending?.resolve();
    else pending?.reject(new TestkitError("testkit-host-failed", `host ${role}: ${error}`));
  });
  return {
    failed: failure.promise,
    ask: async (job) => {
      lastId += 1;
      const pending = Promise.withResolvers<void>();
      waiting.set(lastId, pending);
      child.send({ id: lastId, job } satisfies AgentRequest, (error) => {
        if (error !== null) pending.reject(error);
      });
      await pending.promise;
    },
    stop: () => stopChild(child),
  };
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  if (child.connected) child.disconnect();
  const impatience = setTimeout(() => child.kill("SIGKILL"), 3_000);
  await exited;
  clearTimeout(impatience);
}
