/**
 * Grant keeper: keeps what is granted in force on the bus: rules of the broker, streams, consumers, gates.
 *
 * Invariants: what is granted is applied in an order in which nothing is ever open that should
 * not be: consumers of revoked grants go first, then the broker follows the new rules, then new
 * consumers and gates come; applying the same twice changes nothing; after each reconnect what is
 * granted is applied again, since the broker may have lost its store.
 */
import { type BusInstrument, type BusPlan, planBus } from "@bulkhead/core";
import { type Name, PLATFORM_NAME, type Site } from "@bulkhead/schema";
import { SensordError } from "../error.ts";
import { describeError, type Log } from "../log.ts";
import { pause } from "../pause.ts";
import type { Broker } from "./broker.ts";
import type { GateSet } from "./gate-set.ts";
import type { BusLimits } from "./limits.ts";
import type { MessageBook } from "./message-book.ts";
import type { PlatformClient } from "./platform-client.ts";
import { alignStreams, ensureConsumers, removeRevokedConsumers } from "./streams.ts";
import { type AppliedBus, welcomeOf } from "./welcome.ts";

/** What shall be possible on the bus: resolved instruments that are enabled, and the site's grants. */
export interface BusDesired {
  readonly sensor: Name;
  readonly instruments: readonly BusInstrument[];
  readonly grants: Site["grants"];
  /**
   * Instruments that are installed and not enabled: they have no way to the bus, and what they
   * emitted stays. What of any other instrument is left in the broker is removed.
   */
  readonly retained?: readonly Name[];
}

/** Why the newest grants are not in force. */
export interface GrantProblem {
  readonly code: string;
  readonly message: string;
}

export interface GrantKeeperParts {
  readonly broker: Broker;
  readonly client: PlatformClient;
  readonly gates: GateSet;
  readonly messages: Pick<MessageBook, "allow" | "restrict" | "interrupt">;
  readonly limits: BusLimits;
  readonly log: Log;
}

export const CONNECT_TIMEOUT_MS = 10_000;
const RETRY_MS = 3000;
/** A broker that has just ended does not answer, and what is revoked must not wait for it. */
const REVOKE_EARLY_MS = 2000;

export class GrantKeeper {
  readonly #parts: GrantKeeperParts;
  #applied: AppliedBus | null = null;
  #problem: GrantProblem | null = null;
  #desired: BusDesired | null = null;
  #turn: Promise<void> = Promise.resolve();
  #retry: NodeJS.Timeout | null = null;
  readonly #end = new AbortController();

  constructor(parts: GrantKeeperParts) {
    this.#parts = parts;
  }

  /** What is in force; null before anything is. */
  get applied(): AppliedBus | null {
    return this.#applied;
  }

  /** Null where what is desired is in force. */
  get problem(): GrantProblem | null {
    return this.#problem;
  }

  /**
   * Makes the bus as granted; returns when it is, or when a newer call took this one's place.
   * Idempotent; one at a time, in order.
   * @throws SensordError `bus-broker-unreachable`, `bus-config-rejected`, `bus-rules-not-taken` or
   * `bus-stream-refused`; it is then tried again by itself, and `problem` says so meanwhile.
   */
  apply(desired: BusDesired): Promise<void> {
    this.#desired = desired;
    const turn = this.#turn.then(() => this.#apply(desired));
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }

  /** Applies what is desired again, some time later. */
  again(afterMs: number): void {
    if (this.#end.signal.aborted) return;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      if (this.#desired === null) return;
      this.apply(this.#desired).catch((error: unknown) => {
        this.#parts.log.warn("bus not as granted", describeError(error));
      });
    }, afterMs).unref();
  }

  /** Nothing new is applied from now on; what is under way waits for no broker any more, and resolves when it has ended. */
  async close(): Promise<void> {
    this.#end.abort();
    if (this.#retry !== null) clearTimeout(this.#retry);
    await this.#turn;
  }

  async #apply(desired: BusDesired): Promise<void> {
    if (this.#end.signal.aborted || this.#desired !== desired) return; // a newer one waits behind it
    try {
      await this.#applyNow(desired);
      this.#problem = null;
    } catch (error) {
      const known = error instanceof SensordError ? error.code : "bus-failed";
      this.#problem = { code: known, message: error instanceof Error ? error.message : "unknown" };
      this.again(RETRY_MS);
      throw error;
    }
  }

  async #applyNow({ sensor, instruments, grants, retained = [] }: BusDesired): Promise<void> {
    const { broker, client, gates, limits, messages } = this.#parts;
    const plan = planBus(instruments, grants);
    messages.restrict(plan.messages);
    await gates.closeOthers(plan.instruments.map(({ name }) => name));
    const revoked = client.isUp && (await this.#revokeEarly(plan));
    if (await broker.write(plan.users)) messages.interrupt();
    await client.connection(CONNECT_TIMEOUT_MS);
    await broker.follow(() => client.current, this.#end.signal);
    const manager = await client.manager(CONNECT_TIMEOUT_MS);
    if (!revoked) await removeRevokedConsumers(manager, plan);
    const settings = { ...limits, storeBytes: broker.storeBytes };
    const made = await alignStreams(manager, plan, retained, settings);
    await ensureConsumers(manager, plan, made, limits.streams);
    const former = this.#applied;
    this.#applied = { sensor, plan, retained };
    messages.allow(plan.messages);
    if (!this.#end.signal.aborted) gates.open(plan.users.filter(({ name }) => name !== PLATFORM_NAME));
    for (const name of gates.names()) {
      const told = former === null ? null : welcomeOf(former, name);
      const changed = JSON.stringify(told) !== JSON.stringify(welcomeOf(this.#applied, name));
      // It greets again, and is told what it may do now.
      if (told !== null && changed) client.tell(name, "reload");
    }
  }

  /** Whether what is revoked has lost its consumers; where not, the rules do not wait for it. */
  async #revokeEarly(plan: BusPlan): Promise<boolean> {
    const late = pause(REVOKE_EARLY_MS, this.#end.signal).then(() => "late" as const);
    const removal = this.#parts.client
      .manager(REVOKE_EARLY_MS)
      .then((manager) => removeRevokedConsumers(manager, plan))
      .then(() => "removed" as const)
      .catch((error: unknown) => {
        this.#parts.log.warn("consumers not removed yet", describeError(error));
        return "failed" as const;
      });
    return (await Promise.race([removal, late])) === "removed";
  }
}
