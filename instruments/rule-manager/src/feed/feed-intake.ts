/**
 * Feed intake: judges what publishers deliver, and keeps of each feed the version in use, and beside it
 * the one that may not take its place.
 *
 * Invariants: only an accepted version is ever built from; a version is kept whole before it is recorded;
 * files come and go in one turn. Whoever delivers waits for no IDS.
 */
import type { ReceivedResource } from "@bulkhead/sdk";
import { type ParsedFile, parseRuleFile } from "../ruleset/parse-file.ts";
import type { Settings } from "../settings.ts";
import type { SetFiles } from "../store/set-files.ts";
import type { FeedVersion, Store } from "../store/store.ts";
import { judgeFeed } from "./judge-feed.ts";
import { readFeed } from "./read-feed.ts";

export interface FeedIntakeParts {
  readonly store: Store;
  readonly files: SetFiles;
  readonly say: (words: string) => void;
}

export type FeedDelivery = Pick<
  ReceivedResource,
  "from" | "name" | "version" | "sha256" | "sizeBytes" | "path" | "deliveredAt"
>;

interface ReadVersion {
  readonly files: readonly ParsedFile[];
  /** Why it cannot be read, or null. */
  readonly reason: string | null;
}

/** Before there are settings. */
const DEFAULT_GUARDS = { maxShrink: 0.2, maxUnparsable: 0.05 };

export class FeedIntake {
  readonly #parts: FeedIntakeParts;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(parts: FeedIntakeParts) {
    this.#parts = parts;
  }

  /**
   * True: what is built from has changed.
   * @throws Error where it may never be used, so that its publisher is told
   */
  take(delivery: FeedDelivery, settings: Settings | null): Promise<boolean> {
    return this.#inTurn(async () => {
      const { store, files, say } = this.#parts;
      const { name, version, sha256, sizeBytes, from: publisher, deliveredAt: delivered } = delivery;
      const former = store.feed(name, "accepted");
      // The platform tells again what there is, the last good version too.
      if (former !== null && former.delivered > delivered) return false;
      if (former?.sha256 === sha256) {
        store.putFeed({ ...former, version, delivered });
        return false;
      }
      const feed = { name, publisher, version, sha256, sizeBytes, delivered };
      const read = await readVersion(name, delivery.path, settings);
      const verdict = judgeFeed(read.files, former?.rules ?? null, settings ?? DEFAULT_GUARDS);
      const { rules } = verdict;
      const refusal = read.reason ?? (verdict.verdict === "refused" ? verdict.reason : null);
      if (refusal !== null) {
        store.putFeed({ ...feed, slot: "offered", rules, state: "refused", reason: refusal });
        throw new Error(`the feed ${name} is refused: ${refusal}`);
      }
      await files.keepFeed(delivery.path, sha256);
      if (verdict.verdict === "accepted") {
        store.putFeed({ ...feed, slot: "accepted", rules, state: "accepted", reason: "" });
        return true;
      }
      const { reason } = verdict;
      store.putFeed({ ...feed, slot: "offered", rules, state: "held", reason });
      say(`the feed ${name} waits for an operator: ${reason}`);
      return false;
    });
  }

  /** An operator takes what has shrunk. */
  acceptHeld(): void {
    for (const feed of this.#parts.store.feeds()) {
      if (feed.state !== "held") continue;
      this.#parts.store.putFeed({ ...feed, slot: "accepted", state: "accepted", reason: "" });
    }
  }

  /** The rules of all accepted versions, in the order of their precedence. */
  async accepted(settings: Settings): Promise<readonly ParsedFile[]> {
    const accepted = this.#parts.store.feeds().filter(({ slot }) => slot === "accepted");
    const names = settings.sources?.map(({ feed }) => feed) ?? accepted.map(({ name }) => name);
    const found = names.flatMap((name) => accepted.find((feed) => feed.name === name) ?? []);
    const parsed: ParsedFile[] = [];
    for (const { name, sha256 } of found) {
      parsed.push(...(await readVersion(name, this.#parts.files.feedPath(sha256), settings)).files);
    }
    return parsed;
  }

  /** Removes files that nothing refers to any more. */
  clean(): Promise<void> {
    return this.#inTurn(async () => {
      const { sets, feeds } = this.#parts.store.referred();
      await this.#parts.files.clean(sets, feeds);
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work);
    this.#turn = turn.catch(() => undefined); // its caller sees the failure
    return turn;
  }
}

/** What is the matter with feeds, in words. */
export function feedAttention(feeds: readonly FeedVersion[]): readonly string[] {
  return feeds.filter(({ slot }) => slot === "offered").map(({ name, reason }) => `feed ${name}: ${reason}`);
}

async function readVersion(name: string, path: string, settings: Settings | null): Promise<ReadVersion> {
  const group = settings?.sources?.find(({ feed }) => feed === name)?.group;
  const content = await readFeed({ path, source: name, file: group ?? `${name}.rules` });
  if (content.kind === "refused") return { files: [], reason: content.reason };
  return { files: content.files.map(parseRuleFile), reason: null };
}
