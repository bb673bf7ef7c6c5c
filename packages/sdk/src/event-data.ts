/**
 * Event data: what a consumer's own checks say of an event, apart from how it came: whether its record is what the
 * schema takes, and whether its id was seen lately.
 */
import type * as z from "zod";

export type EventData<Data> =
  | { readonly ok: true; readonly data: Data }
  | { readonly ok: false; readonly reason: string };

export function checkEventData<Data>(schema: z.ZodType<Data>, json: unknown): EventData<Data> {
  const parsed = schema.safeParse(json);
  if (parsed.success) return { ok: true, data: parsed.data };
  const issue = parsed.error.issues[0];
  return { ok: false, reason: `${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}` };
}

/** The last so many ids, oldest forgotten first. */
export class RecentIds {
  readonly #limit: number;
  readonly #ids = new Set<string>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  has(id: string): boolean {
    return this.#ids.has(id);
  }

  add(id: string): void {
    this.#ids.delete(id);
    this.#ids.add(id);
    if (this.#ids.size <= this.#limit) return;
    const [oldest] = this.#ids; // a Set keeps insertion order
    if (oldest !== undefined) this.#ids.delete(oldest);
  }
}
