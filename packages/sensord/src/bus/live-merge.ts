/**
 * Live merge: many sources into one sequence, each waiting until its item was taken.
 *
 * Invariants: at most one item of each source is held, so that a reader who is slow makes the
 * sources wait; sources may be added while it runs; the first failure of a source ends it all.
 */
export class LiveMerge<T> {
  readonly #offers: { readonly item: T; readonly taken: () => void }[] = [];
  readonly #signal: AbortSignal;
  #wake = Promise.withResolvers<void>();
  #failure: { readonly error: unknown } | null = null;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    const end = (): void => {
      this.#wake.resolve();
      for (const { taken } of this.#offers.splice(0)) taken();
    };
    signal.addEventListener("abort", end, { once: true });
  }

  /** Takes a source in; it must end by itself when the signal is aborted. */
  add(source: AsyncIterable<T>): void {
    void this.#pump(source);
  }

  /** Until the signal is aborted. @throws what a source failed with. */
  async *items(): AsyncGenerator<T, void, undefined> {
    while (!this.#signal.aborted) {
      const offer = this.#offers.shift();
      if (offer !== undefined) {
        try {
          yield offer.item;
        } finally {
          offer.taken();
        }
      } else if (this.#failure !== null) {
        throw this.#failure.error;
      } else {
        await this.#wake.promise;
        this.#wake = Promise.withResolvers<void>();
      }
    }
  }

  async #pump(source: AsyncIterable<T>): Promise<void> {
    try {
      for await (const item of source) {
        if (this.#signal.aborted) return;
        const { promise, resolve } = Promise.withResolvers<void>();
        this.#offers.push({ item, taken: resolve });
        this.#wake.resolve();
        await promise;
      }
    } catch (error) {
      this.#failure ??= { error };
      this.#wake.resolve();
    }
  }
}
