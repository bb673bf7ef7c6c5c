/**
 * Resources: Deliver, wired together: the desk that takes deliveries, the shelf that keeps and places
 * them, and what receivers are told.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { BusInstrument } from "@bulkhead/core";
import type {
  DeliveryRefusal,
  DottedName,
  InstallationLayout,
  Name,
  ResourceAnswer,
  ResourceNotice,
  ResourcesReport,
  Site,
} from "@bulkhead/schema";
import type { AuditEntries, AuditSums } from "../audit-sums.ts";
import { describeError, type Log } from "../log.ts";
import { DeliveryDesk } from "./delivery-desk.ts";
import { DEFAULT_RESOURCE_LIMITS, type ResourceLimits } from "./limits.ts";
import { ReceiverNotices } from "./receiver-notices.ts";
import { resourceRights } from "./resource-rights.ts";
import { ResourceShelf } from "./resource-shelf.ts";
import { Spool } from "./spool.ts";

export interface ResourcesOptions {
  readonly layout: Pick<InstallationLayout, "sensordDir" | "resourcesDir">;
  readonly limits?: ResourceLimits;
  readonly tell: (to: Name, notice: ResourceNotice, signal: AbortSignal) => Promise<ResourceAnswer>;
  readonly audit: AuditEntries;
  readonly sums: Pick<AuditSums, "add">;
  readonly log: Log;
}

export class Resources implements AsyncDisposable {
  readonly desk: DeliveryDesk;
  readonly #shelf: ResourceShelf;
  readonly #notices: ReceiverNotices;
  readonly #log: Log;

  private constructor(
    options: ResourcesOptions,
    spool: Spool,
    shelf: ResourceShelf,
    notices: ReceiverNotices,
  ) {
    const { limits = DEFAULT_RESOURCE_LIMITS, audit, sums, log } = options;
    this.#shelf = shelf;
    this.#notices = notices;
    this.#log = log;
    this.desk = new DeliveryDesk({
      limits,
      spool,
      rights: () => shelf.rights,
      usage: (...args) => shelf.usage(...args),
      publish: (...args) => shelf.publish(...args),
      onRefused: (from, refusal: DeliveryRefusal) =>
        sums.add({ kind: "resource.refused", subject: from, facts: { refusal } }),
      onDelivered: (from, { type, name }, { version, sha256, sizeBytes, receivers }) =>
        audit.append("resource.delivered", from, {
          type,
          name,
          version,
          sizeBytes,
          sha256,
          to: receivers.join(" ").slice(0, 500),
        }),
      nowMs: () => performance.now(),
      log,
    });
  }

  /** @throws SensordError `resources-unreadable`, and what the file system says */
  static async open(options: ResourcesOptions): Promise<Resources> {
    const { layout, log, sums } = options;
    const dir = join(layout.sensordDir, "resources");
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const spool = await Spool.open({ dir, receiversDir: layout.resourcesDir });
    const notices: ReceiverNotices = new ReceiverNotices(
      {
        notices: (...args) => shelf.notices(...args),
        tell: options.tell,
        answered: (to, notice, answer, release) => {
          const { from, type } = notice;
          if (answer !== null && answer.outcome !== "taken")
            sums.add({
              kind: "resource.not-taken",
              subject: to,
              facts: { from, type, outcome: answer.outcome },
            });
          return shelf.answered(to, notice, answer, release);
        },
      },
      log,
    );
    const shelf: ResourceShelf = await ResourceShelf.open({
      file: join(dir, "resources.json"),
      spool,
      log,
      told: (...args) => notices.told(...args),
      onPlaced: (...args) => notices.placed(...args),
    });
    return new Resources(options, spool, shelf, notices);
  }

  /** What the site in force says, of all its instruments. */
  async follow(instruments: readonly BusInstrument[], grants: Site["grants"]["resources"]): Promise<void> {
    await this.#shelf.follow(resourceRights(instruments, grants));
    await this.desk.follow();
  }

  /** A receiver greeted: what it has not yet is placed, and it is told of all that it has. */
  greeted(to: Name): void {
    this.#shelf.placeWith(to).then(
      () => this.#notices.greeted(to),
      (error: unknown) => this.#log.warn("resources are not placed", { to, ...describeError(error) }),
    );
  }

  report(): ResourcesReport {
    return { resources: this.#shelf.rows(), incoming: this.desk.rows(), problems: this.#problems() };
  }

  /** Of the sensor's status. */
  get problems(): readonly { readonly target: string; readonly code: string; readonly message: string }[] {
    return this.#problems().map((message) => ({ target: "resources", code: "resource-not-placed", message }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.desk[Symbol.asyncDispose]();
    this.#notices[Symbol.dispose]();
    await this.#shelf.settled();
  }

  #problems(): string[] {
    const words = (type: DottedName, name: string, from: Name): string => `${type} ${name} of ${from}`;
    return this.#shelf
      .rows()
      .flatMap(({ from, type, name, receivers }) =>
        receivers.flatMap(({ to, state, detail }) =>
          state === "not-there" || state === "too-large"
            ? [`${words(type, name, from)} is not with ${to}: ${detail}`]
            : [],
        ),
      );
  }
}
