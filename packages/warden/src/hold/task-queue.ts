/**
 * Task queue: one task at a time, in order; a failed task does not stop the next.
 */
export class TaskQueue {
  #last: Promise<unknown> = Promise.resolve();
  readonly #waiting = new Set<string>();

  /** Runs after all that came before; its outcome is the task's own. */
  run<T>(task: () => Promise<T>): Promise<T> {
    const outcome = this.#last.then(task, task);
    this.#last = outcome.catch(() => undefined);
    return outcome;
  }

  /** Like `run`, unless a task of this name waits already. The task must not fail. */
  runOnce(name: string, task: () => Promise<void>): void {
    if (this.#waiting.has(name)) return;
    this.#waiting.add(name);
    void this.run(async () => {
      this.#waiting.delete(name);
      await task();
    });
  }
}
