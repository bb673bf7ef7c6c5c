/**
 * Test consumers: what an instrument asked to consume, and events handed to it as the platform would: each checked
 * against the schema, an id that was handled passed over, a batch that fails to come again.
 */
import type { EventRecord, Name } from "@bulkhead/schema";
import type { ConsumeOptions } from "../consumer.ts";
import { errorText } from "../error.ts";
import { checkEventData, RecentIds } from "../event-data.ts";

/** An event to hand over; what is left out is made up. */
export interface TestEvent {
  readonly data: unknown;
  readonly id?: string;
  readonly time?: string;
}

/** What became of a batch. `again`: the handler failed, and the platform would deliver it once more. */
export interface ConsumedBatch {
  readonly outcome: "acknowledged" | "again" | "no-consumer";
  /** Events that the handler was given. */
  readonly handled: number;
  /** Why events were not handed over: records that the schema does not take. */
  readonly quarantined: readonly string[];
}

type Options = Omit<ConsumeOptions<unknown>, "onProblem">;
const REMEMBERED_IDS = 8_192;

export class TestConsumers {
  readonly #onProblem: (text: string) => void;
  readonly #consumers = new Map<string, { readonly options: Options; readonly seen: RecentIds }>();
  #sequence = 0;

  constructor(onProblem: (text: string) => void) {
    this.#onProblem = onProblem;
  }

  add<Data>(options: Omit<ConsumeOptions<Data>, "onProblem">): void {
    // What a handler is given was checked by its own schema.
    const entry = { options: options as unknown as Options, seen: new RecentIds(REMEMBERED_IDS) };
    this.#consumers.set(options.type, entry);
  }

  async hand(type: string, from: Name, batch: readonly TestEvent[]): Promise<ConsumedBatch> {
    const consumer = this.#consumers.get(type);
    if (consumer === undefined) return { outcome: "no-consumer", handled: 0, quarantined: [] };
    const events: EventRecord[] = [];
    const quarantined: string[] = [];
    for (const given of batch) {
      const sequence = (this.#sequence += 1);
      const { id = `test-${sequence}`, time = new Date().toISOString() } = given;
      if (consumer.seen.has(id)) continue;
      const checked = checkEventData(consumer.options.schema, given.data);
      if (!checked.ok) quarantined.push(checked.reason);
      else events.push({ id, instrument: from, type, time, stored: time, sequence, data: checked.data });
    }
    try {
      if (events.length > 0) await consumer.options.handle(events);
    } catch (error) {
      this.#onProblem(`a batch of ${events.length} events failed: ${errorText(error)}`);
      return { outcome: "again", handled: events.length, quarantined };
    }
    for (const { id } of events) consumer.seen.add(id);
    return { outcome: "acknowledged", handled: events.length, quarantined };
  }
}
