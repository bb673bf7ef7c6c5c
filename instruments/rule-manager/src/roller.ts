/**
 * Roller: takes the open rollout on, step by step: deliver, check at every IDS, apply at one after the
 * other; where one refuses, those before it get back what they had.
 *
 * Invariants: nothing is applied that an IDS has not passed; each step is recorded when it is done, and
 * a step that was under way when the process ended is done again, which every step bears; an IDS that is
 * away holds nobody up.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { RulesetFinding, RulesetRequest } from "@bulkhead/schema";
import type { Asked, Delivered, IdsPort } from "./ids-port.ts";
import { placeOf } from "./ruleset/render.ts";
import type { Finding } from "./ruleset/rule.ts";
import type { Rollout, RolloutTarget } from "./store/rollout.ts";
import type { SetFiles } from "./store/set-files.ts";
import type { Store } from "./store/store.ts";

export interface RollerParts {
  readonly store: Store;
  readonly files: SetFiles;
  readonly ids: IdsPort;
  /** RFC 3339. */
  readonly now: () => string;
  readonly say: (words: string) => void;
  /** Between two questions where the first had no clear answer. */
  readonly retryMs: number;
}

/** `later`: somebody is not there, and it is to be tried again in a while; `detail` says who. */
export type Advance = { readonly kind: "done" } | { readonly kind: "later"; readonly detail: string };

const ATTEMPTS = 3;
const MOST_FINDINGS = 500;
const DONE: Advance = { kind: "done" };

export class Roller {
  readonly #parts: RollerParts;
  /** What this process delivered: after a restart it delivers again. */
  readonly #delivered = new Map<string, string>();

  constructor(parts: RollerParts) {
    this.#parts = parts;
  }

  async advance(): Promise<Advance> {
    for (;;) {
      const rollout = this.#parts.store.openRollout();
      if (rollout === null) return DONE;
      const step = await this.#step(rollout);
      if (step.kind === "later") return step;
    }
  }

  #step(rollout: Rollout): Promise<Advance> {
    if (rollout.state === "checking") return this.#check(rollout);
    return rollout.state === "applying" ? this.#apply(rollout) : this.#rollBack(rollout);
  }

  async #check(begun: Rollout): Promise<Advance> {
    const { store } = this.#parts;
    const rollout = await this.#withTargets(begun);
    if (rollout === null) return { kind: "later", detail: "the platform does not say which IDS there are" };
    if (rollout.targets.length === 0) return { kind: "later", detail: "no IDS is granted" };
    const findings: Finding[] = [];
    for (const target of rollout.targets) {
      if (target.state === "checked") continue;
      const delivered = await this.#deliver(rollout, target.set);
      if (delivered.kind === "later") return delivered;
      if (delivered.kind === "refused") {
        this.#refuse(rollout, delivered.detail, []);
        return DONE;
      }
      const { request } = delivered;
      const asked = await this.#ask(() => this.#parts.ids.check(target.ids, request));
      if (asked.kind === "away") {
        store.changeTarget(rollout.id, target.ids, { state: "away", detail: asked.detail });
      } else if (asked.kind === "answered" && asked.reply.ok) {
        store.changeTarget(rollout.id, target.ids, { state: "checked", detail: "" });
      } else {
        const detail = asked.kind === "answered" ? "found faults" : asked.detail;
        store.changeTarget(rollout.id, target.ids, { state: "refused", detail });
        if (asked.kind === "answered")
          findings.push(...(await this.#told(rollout, target, asked.reply.findings)));
      }
    }
    const { targets } = store.rollout(rollout.id) ?? rollout;
    const refusing = targets.filter(({ state }) => state === "refused");
    if (refusing.length > 0) {
      this.#refuse(rollout, refusing.map(({ ids, detail }) => `${ids}: ${detail}`).join("; "), findings);
    } else if (targets.some(({ state }) => state === "checked")) {
      store.changeRollout(rollout.id, { state: "applying" });
    } else return { kind: "later", detail: `waits for ${targets.map(({ ids }) => ids).join(", ")}` };
    return DONE;
  }

  async #apply(rollout: Rollout): Promise<Advance> {
    const { store } = this.#parts;
    for (const target of rollout.targets) {
      if (target.state !== "checked") continue;
      const delivered = await this.#deliver(rollout, target.set);
      if (delivered.kind === "later") return delivered;
      const asked =
        delivered.kind === "delivered"
          ? await this.#ask(() => this.#parts.ids.apply(target.ids, delivered.request))
          : delivered;
      if (asked.kind === "away") {
        store.changeTarget(rollout.id, target.ids, { state: "away", detail: asked.detail });
        continue;
      }
      if (asked.kind === "answered" && asked.reply.outcome === "applied") {
        const sha256 = shaOf(rollout, target.set);
        store.recordApplied(rollout.id, { ids: target.ids, set: target.set, sha256 });
        this.#parts.say(`${target.ids} has rollout ${rollout.id}: ${asked.reply.rules} rules`);
        continue;
      }
      const detail = asked.kind === "answered" ? "refused the set" : asked.detail;
      const findings =
        asked.kind === "answered" ? await this.#told(rollout, target, asked.reply.findings) : [];
      const state = asked.kind === "unknown" ? "unknown" : "refused";
      store.changeTarget(rollout.id, target.ids, { state, detail });
      store.changeRollout(rollout.id, {
        state: "rolling-back",
        reason: `${target.ids}: ${detail}`,
        findings: [...rollout.findings, ...findings].slice(0, MOST_FINDINGS),
      });
      return DONE;
    }
    this.#finish(store.rollout(rollout.id) ?? rollout);
    return DONE;
  }

  /** In reverse: what was changed last is put right first. */
  async #rollBack(rollout: Rollout): Promise<Advance> {
    const { store, files, ids } = this.#parts;
    for (const target of rollout.targets.toReversed()) {
      if (target.state !== "applied" && target.state !== "unknown") continue;
      const { formerSha256: sha256, set: name } = target;
      if (sha256 === null) {
        this.#parts.say(`${target.ids} had no set before: it keeps what it passed`);
        continue;
      }
      const delivered = await ids.deliver(name, await files.readSet(sha256), sha256);
      this.#delivered.delete(deliveryKey(rollout, name));
      if (delivered.kind === "later") return delivered;
      const asked =
        delivered.kind === "delivered"
          ? await this.#ask(() => ids.apply(target.ids, { name, version: delivered.version, sha256 }))
          : delivered;
      if (asked.kind === "answered" && asked.reply.outcome === "applied") {
        store.recordReverted(rollout.id, { ids: target.ids, set: name, sha256 });
        continue;
      }
      const words = asked.kind === "answered" ? "it refused what it had before" : asked.detail;
      const state = asked.kind === "away" ? "away" : "refused";
      store.changeTarget(rollout.id, target.ids, { state, detail: `could not be rolled back: ${words}` });
    }
    const { reason, findings } = store.rollout(rollout.id) ?? rollout;
    this.#refuse(rollout, reason, findings);
    return DONE;
  }

  /** The IDS as they are granted now; what is known of one already stays. Null: nobody knows. */
  async #withTargets(rollout: Rollout): Promise<Rollout | null> {
    if (rollout.onlyFor !== null && rollout.targets.length > 0) return rollout;
    const peers = await this.#parts.ids.peers();
    if (peers === null) return null;
    const inForce = new Map(this.#parts.store.inForce().map((each) => [each.ids, each.sha256]));
    const names = new Set(rollout.sets.map(({ name }) => name));
    const targets = peers
      .filter((ids) => rollout.onlyFor === null || rollout.onlyFor === ids)
      .map((ids): RolloutTarget => {
        const known = rollout.targets.find((target) => target.ids === ids);
        if (known !== undefined) return known;
        const set = names.has(ids) ? ids : (rollout.sets[0]?.name ?? "");
        return { ids, set, formerSha256: inForce.get(ids) ?? null, state: "waiting", detail: "" };
      });
    return this.#parts.store.changeRollout(rollout.id, { targets });
  }

  async #deliver(
    rollout: Rollout,
    name: string,
  ): Promise<
    | { readonly kind: "delivered"; readonly request: RulesetRequest }
    | Exclude<Delivered, { kind: "delivered" }>
  > {
    const sha256 = shaOf(rollout, name);
    const key = deliveryKey(rollout, name);
    const known = this.#delivered.get(key);
    if (known !== undefined) return { kind: "delivered", request: { name, version: known, sha256 } };
    const text = await this.#parts.files.readSet(sha256);
    const delivered = await this.#parts.ids.deliver(name, text, sha256);
    if (delivered.kind !== "delivered") return delivered;
    const { version } = delivered;
    this.#delivered.set(key, version);
    const { sets } = this.#parts.store.rollout(rollout.id) ?? rollout;
    this.#parts.store.changeRollout(rollout.id, {
      sets: sets.map((set) => (set.name === name ? { ...set, version } : set)),
    });
    return { kind: "delivered", request: { name, version, sha256 } };
  }

  /** Asks again where nobody knows what became of it. */
  async #ask<Reply>(question: () => Promise<Asked<Reply>>): Promise<Asked<Reply>> {
    for (let attempt = 1; ; attempt += 1) {
      const asked = await question();
      if (asked.kind !== "unknown" || attempt >= ATTEMPTS) return asked;
      await delay(this.#parts.retryMs);
    }
  }

  /** What an IDS found, by the places of the sources. */
  async #told(
    rollout: Rollout,
    { ids, set }: RolloutTarget,
    findings: readonly RulesetFinding[],
  ): Promise<readonly Finding[]> {
    const places = await this.#parts.files.readPlaces(shaOf(rollout, set));
    return findings.map(({ line, message }) => ({
      place: placeOf(places, line),
      message: `${ids}: ${message}`,
    }));
  }

  #refuse(rollout: Rollout, reason: string, findings: readonly Finding[]): void {
    const former = this.#parts.store.rollout(rollout.id) ?? rollout;
    this.#parts.store.changeRollout(rollout.id, {
      state: "refused",
      ended: this.#parts.now(),
      reason,
      findings: [...new Set([...findings, ...former.findings])].slice(0, MOST_FINDINGS),
    });
    this.#parts.say(`rollout ${rollout.id} was refused: ${reason}`);
  }

  #finish(rollout: Rollout): void {
    this.#parts.store.changeRollout(rollout.id, { state: "applied", ended: this.#parts.now() });
    if (rollout.withdraws !== null) {
      this.#parts.store.changeRollout(rollout.withdraws, { state: "withdrawn" });
    }
    this.#parts.say(`rollout ${rollout.id} is in force`);
  }
}

function shaOf(rollout: Rollout, name: string): string {
  return rollout.sets.find((set) => set.name === name)?.sha256 ?? "";
}

function deliveryKey(rollout: Rollout, name: string): string {
  return `${rollout.id}/${name}`;
}
