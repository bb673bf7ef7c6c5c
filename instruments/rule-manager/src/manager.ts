/**
 * Manager: from feeds and settings to candidates, and what operators may do with them. The roller takes
 * a candidate into force.
 *
 * Invariants: one thing at a time, though nobody who brings something waits for an IDS; a set is built of
 * accepted feeds alone, so that an empty, cut or shrunken one leaves what there is; what was refused or taken
 * back is not tried again by itself.
 */
import { errorText } from "@bulkhead/sdk";
import { COMMON_SET, buildSets, type BuiltSet, type ConfFiles, LOCAL_SOURCE } from "./build-sets.ts";
import { feedAttention, type FeedDelivery, type FeedIntake } from "./feed/feed-intake.ts";
import { percent } from "./feed/judge-feed.ts";
import type { Advance, Roller } from "./roller.ts";
import { countDiff, cutDiff, diffSets, type SetDiff } from "./ruleset/diff.ts";
import { parseRuleFile, type RuleText } from "./ruleset/parse-file.ts";
import type { Settings } from "./settings.ts";
import { type Rollout, type RolloutSet, type RolloutState, setsKey } from "./store/rollout.ts";
import type { SetFiles } from "./store/set-files.ts";
import type { Store } from "./store/store.ts";

export interface ManagerParts {
  readonly store: Store;
  readonly files: SetFiles;
  readonly feeds: FeedIntake;
  readonly roller: Roller;
  readonly now: () => string;
  readonly say: (words: string) => void;
  /** Told after each change what is to be seen of it. */
  readonly onChange: (attention: string) => void;
}

/** What came with one version of the settings. */
export interface Configuration {
  readonly settings: Settings;
  readonly version: string;
  readonly conf: ConfFiles;
  readonly localRules: readonly Omit<RuleText, "source">[];
}

export type Order =
  | { readonly outcome: "started"; readonly rollout: number; readonly state: RolloutState }
  | { readonly outcome: "nothing"; readonly detail: string };

interface Build {
  readonly why: string;
  readonly who: string;
  /** An operator asked for it: also what was refused before is tried. */
  readonly asked: boolean;
  readonly shrinkAccepted: boolean;
}

/** In history when nobody was asked. */
export const NOBODY = "rule-manager";
const MOST_LISTED = 200;
const MOST_FINDINGS = 500;
const NO_DIFF: SetDiff = { added: [], removed: [], changed: [] };

export class Manager {
  readonly #parts: ManagerParts;
  #configuration: Configuration | null = null;
  #turn: Promise<unknown> = Promise.resolve();
  #later = "";
  /** Came while a rollout could not be given up any more. */
  #missed: Build | null = null;

  constructor(parts: ManagerParts) {
    this.#parts = parts;
  }

  get configurationVersion(): string | null {
    return this.#configuration?.version ?? null;
  }

  /** Takes settings, and begins what follows from them. */
  configure(configuration: Configuration): void {
    this.#configuration = configuration;
    this.#buildSoon(`settings ${configuration.version}`);
  }

  /** Takes a feed's new version. @throws Error where it may never be used, so that its publisher is told. */
  async takeFeed(delivery: FeedDelivery): Promise<void> {
    try {
      const isNew = await this.#parts.feeds.take(delivery, this.#configuration?.settings ?? null);
      if (isNew) this.#buildSoon(`feed ${delivery.name} ${delivery.version}`);
    } finally {
      this.#changed();
    }
  }

  /** Goes on with what is open, and brings IDS that were away to what is in force. */
  goOn(): Promise<void> {
    return this.#inTurn(async () => {
      for (;;) {
        const advance: Advance = await this.#parts.roller.advance();
        this.#later = advance.kind === "later" ? advance.detail : "";
        const missed = this.#missed;
        this.#missed = null;
        if (missed === null || (await this.#build(missed)).outcome === "nothing") break;
      }
      await this.#parts.feeds.clean();
      this.#changed();
    });
  }

  /** An IDS that runs and has not what is in force gets it; one that refused it is left alone. */
  catchUp(peers: readonly string[]): Promise<void> {
    return this.#inTurn(async () => {
      const { store } = this.#parts;
      const current = store.newestIn("applied");
      if (current === null || store.openRollout() !== null) return;
      const inForce = new Map(store.inForce().map((each) => [each.ids, each.sha256]));
      const key = setsKey(current.sets);
      for (const ids of peers) {
        const set = current.sets.find(({ name }) => name === ids) ?? current.sets[0];
        const has = inForce.get(ids);
        const refused = store
          .rollouts(MOST_LOOKED_AT)
          .some((each) => each.state === "refused" && each.onlyFor === ids && setsKey(each.sets) === key);
        if (set === undefined || has === set.sha256 || refused) continue;
        const { sets } = current;
        this.#add({ why: `${ids} is back`, who: NOBODY, sets, state: "checking", onlyFor: ids });
        this.#goOnSoon();
        return;
      }
    });
  }

  /** Applies the candidate as the inputs are now. */
  apply(who: string): Promise<Order> {
    return this.#order(() => this.#build({ why: "apply", who, asked: true, shrinkAccepted: false }));
  }

  /** Takes what has shrunk, feeds and set. */
  acceptShrink(who: string): Promise<Order> {
    return this.#order(async () => {
      this.#parts.feeds.acceptHeld();
      return this.#build({ why: "accept-shrink", who, asked: true, shrinkAccepted: true });
    });
  }

  /** Back to the set that was in force before this one. */
  rollBack(who: string): Promise<Order> {
    return this.#order(async () => {
      const { store } = this.#parts;
      const [current, former] = store.appliedOnes();
      if (current === undefined) return nothing("no set of ours is in force");
      if (former === undefined) return nothing("there is no set before the one in force");
      const diff = await this.#diff(current.sets, former.sets);
      const sets = former.sets.map((set) => ({ ...set, version: null }));
      const why = `rollback to ${former.id}`;
      return this.#add({ why, who, sets, state: "checking", diff, withdraws: current.id });
    });
  }

  /** The whole difference that a rollout makes to what is in force. */
  async candidateDiff(rollout: Rollout): Promise<SetDiff> {
    return this.#diff(this.#parts.store.newestIn("applied")?.sets ?? [], rollout.sets);
  }

  async #order(work: () => Promise<Order>): Promise<Order> {
    const open = this.#parts.store.openRollout();
    if (open !== null) return nothing(`rollout ${open.id} is under way: ${this.#later || open.state}`);
    return this.#inTurn(async () => {
      const order = await work();
      this.#goOnAfter(order);
      this.#changed();
      return order;
    });
  }

  async #build(build: Build): Promise<Order> {
    const { why, who, asked, shrinkAccepted } = build;
    const { store } = this.#parts;
    if (this.#configuration === null) return nothing("there are no settings yet");
    const open = store.openRollout();
    if (open !== null && open.state !== "checking") {
      this.#missed = build;
      return nothing("a rollout is under way");
    }
    const { settings, conf, localRules } = this.#configuration;
    const local = localRules.map((file) => parseRuleFile({ ...file, source: LOCAL_SOURCE }));
    const parsed = [...local, ...(await this.#parts.feeds.accepted(settings))];
    if (parsed.length === 0) return nothing("there are no rules yet");
    const built = buildSets(settings, conf, parsed);
    const sets = await Promise.all(built.map((set) => this.#keep(set)));
    const key = setsKey(sets);
    if (open !== null && setsKey(open.sets) === key) return nothing("a rollout of it is under way");
    const current = store.newestIn("applied");
    if (current !== null && setsKey(current.sets) === key) return nothing("the set is the one in force");
    const declined = store
      .rollouts(MOST_LOOKED_AT)
      .find(({ state, sets: each }) => ENDED_BADLY.has(state) && setsKey(each) === key);
    if (declined !== undefined && !asked) return nothing(`the set is that of rollout ${declined.id}`);
    const findings = built.flatMap((set) => set.findings).slice(0, MOST_FINDINGS);
    const diff = await this.#diff(current?.sets ?? [], sets);
    const rollout = { why, who, sets, diff, findings };
    if (built.some((set) => set.counts.enabled === 0)) {
      return this.#add({ ...rollout, state: "refused", reason: "it would hold no rules" });
    }
    const shrunk = shrunkBy(current?.sets ?? [], sets);
    if (shrunk > settings.maxShrink && !shrinkAccepted) {
      return this.#add({ ...rollout, state: "held", reason: `it has ${percent(shrunk)} fewer rules` });
    }
    return this.#add({ ...rollout, state: settings.autoApply || asked ? "checking" : "waiting" });
  }

  #add(
    given: Pick<Rollout, "why" | "who" | "sets" | "state"> &
      Partial<Pick<Rollout, "reason" | "diff" | "findings" | "withdraws" | "onlyFor">>,
  ): Order {
    const { now, store, say } = this.#parts;
    const diff = given.diff ?? NO_DIFF;
    const created = now();
    const { id, state } = store.addRollout({
      reason: "",
      findings: [],
      withdraws: null,
      onlyFor: null,
      targets: [],
      ...given,
      created,
      counts: countDiff(diff),
      diff: cutDiff(diff, MOST_LISTED),
    });
    if (state === "refused") store.changeRollout(id, { ended: created });
    say(`rollout ${id} (${given.why}): ${state} ${given.reason ?? ""}`.trimEnd());
    return { outcome: "started", rollout: id, state };
  }

  async #keep({ name, text, places, counts }: BuiltSet): Promise<RolloutSet> {
    const sha256 = await this.#parts.files.keepSet(text, places);
    return { name, sha256, rules: counts.enabled, version: null };
  }

  async #diff(before: readonly RolloutSet[], after: readonly RolloutSet[]): Promise<SetDiff> {
    const read = async (sets: readonly RolloutSet[]): Promise<string> => {
      const common = sets.find(({ name }) => name === COMMON_SET);
      return common === undefined ? "" : this.#parts.files.readSet(common.sha256);
    };
    return diffSets(await read(before), await read(after));
  }

  #goOnAfter(order: Order): void {
    if (order.outcome === "started") this.#goOnSoon();
  }

  /** In a turn of its own: whoever asked need not wait for every IDS. */
  #goOnSoon(): void {
    this.goOn().catch((error: unknown) => this.#parts.say(`the rollout stands still: ${errorText(error)}`));
  }

  #changed(): void {
    const { store } = this.#parts;
    const [newest] = store.rollouts(1);
    const isBad = newest?.state === "held" || newest?.state === "refused" || newest?.state === "waiting";
    const words = [
      ...feedAttention(store.feeds()),
      ...(isBad
        ? [`rollout ${newest.id} is ${newest.state}${newest.reason === "" ? "" : `: ${newest.reason}`}`]
        : []),
      ...(this.#later === "" ? [] : [this.#later]),
    ];
    this.#parts.onChange(words.join("; "));
  }

  #buildSoon(why: string): void {
    const build = { why, who: NOBODY, asked: false, shrinkAccepted: false };
    this.#inTurn(async () => this.#goOnAfter(await this.#build(build))).catch((error: unknown) =>
      this.#parts.say(`no set could be built: ${errorText(error)}`),
    );
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }
}

const MOST_LOOKED_AT = 50;
const ENDED_BADLY: ReadonlySet<RolloutState> = new Set<RolloutState>([
  "refused",
  "withdrawn",
  "held",
  "waiting",
]);

function nothing(detail: string): Order {
  return { outcome: "nothing", detail };
}

/** Of the set that lost the largest share. */
function shrunkBy(before: readonly RolloutSet[], after: readonly RolloutSet[]): number {
  const common = before.find(({ name }) => name === COMMON_SET);
  return Math.max(
    0,
    ...after.map(({ name, rules }) => {
      const former = before.find((set) => set.name === name) ?? common;
      return former === undefined || former.rules === 0 ? 0 : (former.rules - rules) / former.rules;
    }),
  );
}
