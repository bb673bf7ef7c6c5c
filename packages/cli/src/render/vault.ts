/** The vault in words: its state, its volumes, and a recovery phrase to be written down. */
import { renderSize, type VaultState, type VaultStatus } from "@bulkhead/schema";
import { tone } from "../output.ts";
import { renderTable } from "./table.ts";

export function renderVault(status: VaultStatus): string {
  const rows = status.volumes.map((v) => [
    `${v.instrument}/${v.id}`,
    v.slices === undefined ? v.kind : `${v.kind}, ${v.slices} slices`,
    renderSize(v.sizeBytes),
    v.mounted ? "mounted" : "closed",
    KEYS[v.key],
  ]);
  return `${renderVaultState(status)}\n\n${renderTable(["VOLUME", "KIND", "SIZE", "", "KEY"], rows)}`;
}

const KEYS = {
  present: tone("good", "in the kernel"),
  absent: "wrapped",
  held: tone("bad", "removed, files still open"),
  missing: tone("bad", "no record of it"),
} as const;

export function renderVaultState({ state, method, problem }: VaultState): string {
  if (state === "absent") return tone("bad", "There is no vault; sudo ./bulkhead setup makes one.");
  const how = `The vault is ${tone(state === "unlocked" ? "good" : "bad", state)}; it is opened by ${method}.`;
  return problem === null ? how : `${how}\n${problem.message}  ${tone("dim", problem.code)}`;
}

/** Numbered, six to a line, as people copy them. */
export function renderPhrase(phrase: string): string {
  const words = phrase.split(" ").map((word, index) => `${String(index + 1).padStart(2)} ${word.padEnd(9)}`);
  const lines = [0, 6, 12, 18].map((from) => `  ${words.slice(from, from + 6).join(" ")}`);
  return [
    "",
    "Recovery phrase of this sensor's vault. It is shown once and kept nowhere: write it down and keep it apart.",
    "It opens the vault when its method cannot, and on other hardware.",
    "",
    ...lines,
    "",
  ].join("\n");
}
