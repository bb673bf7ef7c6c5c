/**
 * Configuration: takes `cmd.<i>.config`, checks it, and lets the instrument apply it.
 *
 * Invariants: one at a time, in order; the same version twice changes nothing; on a refusal, or
 * when applying fails, the former configuration goes on; always an answer, never an exception to
 * the platform. It does not keep configurations over restarts: the platform sends them again.
 */
import { ConfigCommand, type ConfigAnswer, type RefusedConfig } from "@bulkhead/schema";
import type * as z from "zod";
import { errorText } from "./error.ts";

/** What an instrument says to a configuration; `note` is shown to the operator. */
export type ApplyOutcome =
  | { readonly outcome: "applied"; readonly note?: string }
  | { readonly outcome: "refused"; readonly faults: RefusedConfig["faults"] };

/** Applies one checked configuration. An exception means that it could not be done, and refuses. */
export type ApplyConfig<Config> = (
  config: Config,
  command: ConfigCommand,
) => Promise<ApplyOutcome | void> | ApplyOutcome | void;

export class ConfigDesk<Config> {
  readonly #schema: z.ZodType<Config>;
  readonly #apply: ApplyConfig<Config>;
  readonly #onAnswer: (answer: ConfigAnswer) => void;
  #current: ConfigAnswer | null = null;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(
    schema: z.ZodType<Config>,
    apply: ApplyConfig<Config>,
    onAnswer: (answer: ConfigAnswer) => void = () => undefined,
  ) {
    this.#schema = schema;
    this.#apply = apply;
    this.#onAnswer = onAnswer;
  }

  /** Version in force, or null before the first. */
  get version(): string | null {
    return this.#current?.version ?? null;
  }

  /** Answers one command; concurrent ones are taken in order. */
  take(payload: unknown): Promise<ConfigAnswer> {
    const answer = this.#queue.then(() => this.#answer(payload));
    this.#queue = answer;
    return answer;
  }

  async #answer(payload: unknown): Promise<ConfigAnswer> {
    const command = ConfigCommand.safeParse(payload);
    if (!command.success) return refuse("", command.error);
    const { version } = command.data;
    if (this.#current?.version === version) return this.#current;
    const answer = await this.#decide(command.data);
    if (answer.outcome === "applied") this.#current = answer;
    this.#onAnswer(answer);
    return answer;
  }

  async #decide(command: ConfigCommand): Promise<ConfigAnswer> {
    const { version } = command;
    const config = this.#schema.safeParse(command.config);
    if (!config.success) return refuse(version, config.error);
    try {
      const outcome = (await this.#apply(config.data, command)) ?? { outcome: "applied" };
      if (outcome.outcome === "applied") return { ...outcome, version };
      return { outcome: "refused", version, faults: outcome.faults.slice(0, 100) };
    } catch (error) {
      const message = `could not be applied: ${errorText(error)}`.slice(0, 2000);
      return { outcome: "refused", version, faults: [{ message }] };
    }
  }
}

function refuse(version: string, error: z.ZodError): ConfigAnswer {
  const faults = error.issues.slice(0, 100).map((issue) => ({
    message: `${issue.path.length === 0 ? "config" : issue.path.join(".")}: ${issue.message}`.slice(0, 2000),
  }));
  return { outcome: "refused", version, faults };
}
