/**
 * Controls: what is taken away so that attempts must succeed, and what is left alone so that they must not.
 *
 * Invariants: pure; attempts that name the same layers share one canary; every attempt has a control, or says why not.
 */
import { CONTAINMENT_LAYERS, type ContainmentLayer } from "@bulkhead/schema";
import type { Attempt } from "../attempt.ts";
import { AS_HOST_ROOT } from "./host-control.ts";

export interface CanaryControl {
  readonly name: string;
  readonly without: readonly ContainmentLayer[];
  readonly attempts: readonly Attempt[];
  /** `success`: every attempt must succeed. `stopped`: the one layer that is left must stop every one. */
  readonly expects: "success" | "stopped";
  /** Made by the host's root inside the canary's network namespace: what is in it has no right there. */
  readonly byHostRoot?: true;
}

/** One line for each attempt in `--list-controls`. */
export interface ListedControl {
  readonly control: string;
  readonly attempts: readonly string[];
}

const IN_NAMESPACE = "the host's root in the canary's network";

export function canaryControls(attempts: readonly Attempt[]): readonly CanaryControl[] {
  const controls = new Map<string, CanaryControl>();
  const add = (
    name: string,
    without: readonly ContainmentLayer[],
    expects: CanaryControl["expects"],
    attempt: Attempt,
    by: Pick<CanaryControl, "byHostRoot"> = {},
  ): void => {
    const former = controls.get(name)?.attempts ?? [];
    controls.set(name, { name, without, expects, attempts: [...former, attempt], ...by });
  };
  for (const attempt of attempts) {
    if (attempt.control.kind === "namespace") {
      const around = attempt.layers.filter((layer) => CONTAINMENT_LAYERS[layer].kind === "stand").toSorted();
      const off = around.length === 0 ? "" : `, without ${around.join("+")}`;
      add(`${IN_NAMESPACE}${off}`, around, "success", attempt, { byHostRoot: true });
      if (around.length > 0)
        add(`${around.join("+")} against ${IN_NAMESPACE}`, [], "stopped", attempt, { byHostRoot: true });
    }
    if (attempt.control.kind !== "canary") continue;
    const layers = attempt.layers.toSorted();
    add(layers.join("+"), layers, "success", attempt);
    if (layers.length < 2) continue;
    for (const layer of layers) {
      if (attempt.partial?.[layer] !== undefined) continue;
      const others = layers.filter((other) => other !== layer);
      add(`${layer} alone, without ${others.join("+")}`, others, "stopped", attempt);
    }
  }
  return [...controls.values()];
}

export function listControls(attempts: readonly Attempt[]): readonly ListedControl[] {
  const onHost = attempts.filter(({ control }) => control.kind === "host").map(({ id }) => id);
  const none = attempts.flatMap(({ id, control }) =>
    control.kind === "none" ? [{ control: `none: ${control.why}`, attempts: [id] }] : [],
  );
  return [
    ...canaryControls(attempts)
      .filter(({ expects }) => expects === "success")
      .map(({ name, attempts: own }) => ({ control: name, attempts: own.map(({ id }) => id) })),
    { control: AS_HOST_ROOT, attempts: onHost },
    ...none,
  ];
}
