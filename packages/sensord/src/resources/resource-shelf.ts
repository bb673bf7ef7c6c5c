/**
 * Resource shelf: the versions that are kept, and what each receiver has of them.
 *
 * Invariants: one change at a time, and each is on the disk before the next; the file is written after
 * the version that it names and before the one that it no longer names is removed, so that whatever
 * interrupts it, a receiver has the old version or the new one, whole. A publisher's current version is
 * kept though nobody receives it; of a receiver's, the current, the last good and the one that it is
 * being told of.
 */
import type { DeliveryOpen, Name, ResourceAnswer, ResourceNotice, ResourcesReport } from "@bulkhead/schema";
import { describeError, type Log } from "../log.ts";
import { isCode } from "./durable.ts";
import { afterAnswer, afterPlacing, noticeOf, nothingOf } from "./receiver-copy.ts";
import {
  type KeptResource,
  type KeptVersion,
  type ReceiverCopy,
  readResourceFile,
  writeResourceFile,
} from "./resource-file.ts";
import { NO_RIGHTS, publishableBytes, type ResourceRights, routesOf } from "./resource-rights.ts";
import { keyOf, keyText, type ResourceKey } from "./resource-key.ts";
import type { Spool } from "./spool.ts";

export interface ShelfOptions {
  readonly file: string;
  readonly spool: Spool;
  readonly log: Log;
  /** The version that a receiver is being told of; it stays until that has ended. */
  readonly told: (to: Name, key: ResourceKey) => string | null;
  /** Versions were placed with these receivers. */
  readonly onPlaced: (to: Name, key: ResourceKey) => void;
}

type Resources = ReadonlyMap<string, KeptResource>;
type Published = Pick<KeptVersion, "version" | "sha256" | "sizeBytes"> & {
  readonly receivers: readonly Name[];
};

export class ResourceShelf {
  readonly #options: ShelfOptions;
  #resources: Resources;
  #rights: ResourceRights = NO_RIGHTS;
  #turn: Promise<void> = Promise.resolve();

  private constructor(options: ShelfOptions, resources: Resources) {
    this.#options = options;
    this.#resources = resources;
  }

  /** @throws SensordError `resources-unreadable` */
  static async open(options: ShelfOptions): Promise<ResourceShelf> {
    const kept = await readResourceFile(options.file, options.log);
    const shelf = new ResourceShelf(options, new Map(kept.map((one) => [keyText(one), one])));
    const removed = await shelf.#sweep();
    if (removed > 0) options.log.info("files of no resource are removed", { removed });
    return shelf;
  }

  get rights(): ResourceRights {
    return this.#rights;
  }

  /** Takes back what is no longer granted, and gives what is newly granted. */
  follow(rights: ResourceRights): Promise<void> {
    this.#rights = rights;
    return this.#inTurn(async () => {
      const kept = [...this.#resources.values()].flatMap((one) => {
        if (publishableBytes(rights, one.from, one.type) === null) return [];
        const receivers = new Set(routesOf(rights, one.from, one.type).map(({ to }) => to));
        return [{ ...one, copies: one.copies.filter(({ to }) => receivers.has(to)) }];
      });
      await this.#save(new Map(kept.map((one) => [keyText(one), one])));
      await this.#sweep();
      for (const { from, type, name } of kept) await this.#placeAll({ from, type, name });
    });
  }

  /** A receiver's container was made, or has room again. */
  placeWith(to: Name): Promise<void> {
    return this.#inTurn(async () => {
      for (const one of this.#resources.values()) {
        if (routesOf(this.#rights, one.from, one.type).some((route) => route.to === to))
          await this.#placeAll(one);
      }
    });
  }

  /** What came in as `id` becomes the current version. @throws what the file system says; then nothing changed */
  publish(
    from: Name,
    { type, name, mediaType }: DeliveryOpen,
    came: { readonly id: string; readonly sha256: string; readonly sizeBytes: number },
  ): Promise<Published> {
    return this.#inTurn(async () => {
      const key = { from, type, name };
      if (publishableBytes(this.#rights, from, type) === null) throw new Error("it may publish it no longer");
      const former = this.#resources.get(keyText(key));
      const count = (former?.count ?? 0) + 1;
      const { id, sha256, sizeBytes } = came;
      const version = `${count}-${sha256.slice(0, 12)}`;
      await this.#options.spool.keep(id, key, version);
      const current = { version, sha256, sizeBytes, mediaType, deliveredAt: new Date().toISOString() };
      try {
        await this.#put({ ...key, count, current, copies: former?.copies ?? [] });
      } catch (error) {
        await this.#options.spool.removeKept(key, version);
        throw error;
      }
      if (former !== undefined) await this.#options.spool.removeKept(key, former.current.version);
      await this.#placeAll(key);
      const copies = this.#resources.get(keyText(key))?.copies ?? [];
      const receivers = copies.filter((copy) => copy.current?.version === version).map(({ to }) => to);
      return { version, sha256, sizeBytes, receivers };
    });
  }

  /** What a receiver said of a version, or null where it said nothing; `told` no longer names it after `release`. */
  answered(
    to: Name,
    notice: ResourceNotice,
    answer: ResourceAnswer | null,
    release: () => void,
  ): Promise<void> {
    return this.#inTurn(async () => {
      try {
        const one = this.#resources.get(keyText(notice));
        const copy = one?.copies.find((each) => each.to === to);
        if (one === undefined || copy === undefined) return;
        const next = answer === null ? copy : afterAnswer(one, copy, notice, answer);
        await this.#putCopy(one, copy, next);
        release();
        await this.#prune(keyOf(one), to, [copy.current, copy.lastGood, notice]);
      } finally {
        release();
      }
    });
  }

  /** What a receiver is to be told of one resource, or of all: the last good version before one that it did not take. */
  notices(to: Name, wanted?: ResourceKey): readonly ResourceNotice[] {
    const some =
      wanted === undefined ? [...this.#resources.values()] : [this.#resources.get(keyText(wanted))];
    return some.flatMap((one) => {
      const copy = one?.copies.find((each) => each.to === to);
      if (one === undefined || copy === undefined || copy.current === null) return [];
      const before = copy.good ? null : copy.lastGood;
      return [before, copy.current].flatMap((version) => (version === null ? [] : [noticeOf(one, version)]));
    });
  }

  /** What a publisher has, leaving out one resource. */
  usage(from: Name, without: ResourceKey): { readonly names: number; readonly bytes: number } {
    const own = [...this.#resources.values()].filter(
      (one) => one.from === from && keyText(one) !== keyText(without),
    );
    return { names: own.length, bytes: own.reduce((sum, { current }) => sum + current.sizeBytes, 0) };
  }

  rows(): ResourcesReport["resources"] {
    return [...this.#resources.values()].map(({ from, type, name, current, copies }) => ({
      from,
      type,
      name,
      ...current,
      receivers: copies.map(({ to, state, detail, current: has, lastGood }) => ({
        to,
        state,
        detail,
        current: has?.version ?? null,
        lastGood: lastGood?.version ?? null,
      })),
    }));
  }

  /** What is under way has ended. */
  async settled(): Promise<void> {
    await this.#turn;
  }

  #inTurn<T>(change: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(change);
    this.#turn = turn.then(
      () => undefined,
      () => undefined, // its caller sees the failure
    );
    return turn;
  }

  /** Gives the current version to whoever is granted it and has it not. */
  async #placeAll(key: ResourceKey): Promise<void> {
    for (const { to, maxBytes } of routesOf(this.#rights, key.from, key.type)) {
      const one = this.#resources.get(keyText(key));
      if (one === undefined) return;
      const copy = one.copies.find((each) => each.to === to) ?? nothingOf(to);
      if (copy.current?.version === one.current.version) continue;
      const next = await this.#place(one, copy, maxBytes);
      await this.#putCopy(one, copy, next);
      await this.#prune(keyOf(one), to, [copy.current, copy.lastGood]);
      if (next.current?.version === one.current.version) this.#options.onPlaced(to, key);
    }
  }

  async #place(one: KeptResource, copy: ReceiverCopy, maxBytes: number): Promise<ReceiverCopy> {
    if (one.current.sizeBytes > maxBytes) {
      return { ...copy, state: "too-large", detail: `it takes at most ${maxBytes} bytes` };
    }
    try {
      const { to } = copy;
      if ((await this.#options.spool.place(to, keyOf(one), one.current.version)) === "absent")
        return { ...copy, state: "waiting", detail: "its container was not made yet" };
    } catch (error) {
      this.#options.log.warn("a resource is not placed", { to: copy.to, ...describeError(error) });
      const detail = isCode(error, "ENOSPC", "EDQUOT")
        ? "there is no space for it"
        : "it could not be written";
      return { ...copy, state: "not-there", detail };
    }
    return afterPlacing(one, copy);
  }

  /** Removes those of these versions that a receiver need not have any more. */
  async #prune(
    key: ResourceKey,
    to: Name,
    had: readonly (Pick<KeptVersion, "version"> | null)[],
  ): Promise<void> {
    const copy = this.#resources.get(keyText(key))?.copies.find((each) => each.to === to);
    const stay = [copy?.current?.version, copy?.lastGood?.version, this.#options.told(to, key)];
    for (const version of had) {
      if (version !== null && !stay.includes(version.version))
        await this.#options.spool.removePlaced(to, key, version.version);
    }
  }

  async #putCopy(one: KeptResource, former: ReceiverCopy, next: ReceiverCopy): Promise<void> {
    if (JSON.stringify(former) === JSON.stringify(next)) return;
    await this.#put({ ...one, copies: [...one.copies.filter(({ to }) => to !== next.to), next] });
  }

  #put(one: KeptResource): Promise<void> {
    return this.#save(new Map([...this.#resources, [keyText(one), one]]));
  }

  async #save(resources: Resources): Promise<void> {
    await writeResourceFile(this.#options.file, [...resources.values()]);
    this.#resources = resources;
  }

  #sweep(): Promise<number> {
    const all = [...this.#resources.values()];
    return this.#options.spool.sweep({
      kept: all.map((one) => [keyOf(one), one.current.version]),
      placed: all.flatMap((one) =>
        one.copies.flatMap(({ to, current, lastGood }) =>
          [current?.version, lastGood?.version, this.#options.told(to, keyOf(one))].flatMap((version) =>
            version === undefined || version === null ? [] : [[to, keyOf(one), version] as const],
          ),
        ),
      ),
    });
  }
}
