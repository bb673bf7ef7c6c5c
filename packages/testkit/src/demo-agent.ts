/**
 * A process inside one namespace of the demo: it serves, acts or attacks as its parent asks.
 *
 * Invariants: it obeys its parent's channel alone and ends when that closes, so none is ever orphaned. It does not
 * know in which namespace it is: demo-hosts.ts puts it there.
 */
import { type AttackId } from "./attacks.ts";
import { type Activity, act } from "./demo-activity.ts";
import { attack } from "./demo-attacker.ts";
import type { DemoCertificate } from "./demo-certificate.ts";
import { serveDns } from "./demo-dns-server.ts";
import { answerFeedQuestion } from "./demo-zone.ts";
import { serveFeed } from "./demo-feed-server.ts";
import { serveWeb } from "./demo-web-server.ts";

/** What a parent asks; `id` comes back with the outcome. */
export interface AgentRequest {
  readonly id: number;
  readonly job: AgentJob;
}

export type AgentJob =
  | { readonly kind: "serve-web"; readonly certificate: DemoCertificate }
  | { readonly kind: "serve-dns" }
  | { readonly kind: "serve-feed"; readonly certificate: DemoCertificate; readonly directory: string }
  | { readonly kind: "act"; readonly activity: Activity; readonly trustedCert: string }
  | { readonly kind: "attack"; readonly attack: AttackId };

/** `error` is the message of what failed, absent when the job was done. */
export interface AgentReply {
  readonly id: number;
  readonly error?: string;
}

/** Runs until the parent's channel closes. */
export function runAgent(): void {
  process.on("message", (message) => {
    // Only the parent that forked this process can write to the channel.
    const { id, job } = message as AgentRequest;
    doJob(job).then(
      () => reply({ id }),
      (error: unknown) => reply({ id, error: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on("disconnect", () => process.exit(0));
  // The parent decides when: a terminal's or a supervisor's signal to the whole group must not race it.
  process.on("SIGINT", () => undefined);
  process.on("SIGTERM", () => undefined);
}

function reply(message: AgentReply): void {
  if (process.connected) process.send?.(message);
}

async function doJob(job: AgentJob): Promise<void> {
  switch (job.kind) {
    case "serve-web":
      return serveWeb(job.certificate);
    case "serve-dns":
      return serveDns();
    case "serve-feed":
      await serveDns(53, answerFeedQuestion);
      await serveFeed(job.certificate, job.directory);
      return;
    case "act":
      return act(job.activity, job.trustedCert);
    case "attack":
      return attack(job.attack);
  }
}
