/** Problems as warden's state tells them: what failed, what waits for the vault, and a clock in doubt. Pure. */
import { waitingForVault } from "@bulkhead/core";
import type { Observed, VaultState, WardenState } from "@bulkhead/schema";
import { WardenError } from "../error.ts";

type Problem = WardenState["problems"][number];

/** What waits for the vault says so as a problem of its own, in words that help. */
export function lockedProblems(
  vault: VaultState,
  found: Pick<Parameters<typeof waitingForVault>[0], "desired" | "observed" | "stopped">,
): readonly Problem[] {
  const names = waitingForVault({ ...found, held: [], locked: vault.state !== "unlocked" });
  const why = vault.problem?.message ?? "this sensor has no vault; `bulkhead setup` makes one";
  return names.map((name) => ({
    target: name,
    code: "volume-locked",
    message: `waits for the vault, which is ${vault.state}: ${why}`,
  }));
}

/** A clock that is in doubt concerns those alone who have slices. */
export function clockProblems(
  problem: Problem | null,
  { volumes }: Pick<Observed, "volumes">,
): readonly Problem[] {
  return problem === null || volumes.every(({ slices }) => slices === undefined) ? [] : [problem];
}

export function problemOf(target: string, error: unknown): Problem {
  const code = error instanceof WardenError ? error.code : "unexpected-error";
  return { target, code, message: error instanceof Error ? error.message : String(error) };
}
