/**
 * Whether a canary is the twin of its instrument, by the runtime's word on both.
 *
 * Invariants: pure; what has to differ is declared here and nowhere else: the name, the id range, the command, the
 * places of its own sockets, inbox, resources, volumes and mount table, and the disk with the adversary on it.
 */
import { join } from "node:path";
import { type InstallationLayout, CANARY_NAME } from "@bulkhead/schema";
import type { Instance } from "../engine/runtime-schemas.ts";

type Side = Pick<Instance, "expanded_config" | "expanded_devices">;

/** Keys that the runtime keeps for itself, and those that say who it is. */
const DECLARED_KEYS = [
  /^volatile\./,
  /^image\./,
  /^user\.bulkhead\.spec$/,
  /^security\.idmap\.base$/,
  /^environment\.BULKHEAD_INSTRUMENT$/,
] as const;
const DECLARED_LINES = /^lxc\.(init\.cmd|mount\.fstab|namespace\.share\.net) = /;
const DECLARED_DEVICE = "adversary";

/** @returns what differs beyond that, in plain words */
export function twinDifferences(
  layout: Pick<InstallationLayout, "socketsDir" | "inboxDir" | "resourcesDir" | "mountsDir" | "egressDir">,
  instrument: { readonly name: string } & Side,
  canary: Side,
): readonly string[] {
  const own = (name: string, text: string): string =>
    [
      layout.socketsDir,
      layout.inboxDir,
      layout.resourcesDir,
      layout.mountsDir,
      join(layout.egressDir, "sockets"),
    ].reduce((words, dir) => words.replaceAll(join(dir, name), join(dir, "NAME")), text);
  const differences: string[] = [];
  const compare = (where: string, one: Readonly<Record<string, string>>, two: typeof one): void => {
    for (const key of new Set([...Object.keys(one), ...Object.keys(two)])) {
      if (where === "" && DECLARED_KEYS.some((pattern) => pattern.test(key))) continue;
      const [wanted, found] = [
        own(instrument.name, comparable(key, one[key])),
        own(CANARY_NAME, comparable(key, two[key])),
      ];
      if (wanted !== found) differences.push(`${where}${key} is ${quote(found)}, not ${quote(wanted)}`);
    }
  };
  compare("", instrument.expanded_config, canary.expanded_config);
  const devices = { ...canary.expanded_devices };
  delete devices[DECLARED_DEVICE];
  for (const name of new Set([...Object.keys(instrument.expanded_devices), ...Object.keys(devices)])) {
    compare(`device ${name}: `, instrument.expanded_devices[name] ?? {}, devices[name] ?? {});
  }
  return differences;
}

function comparable(key: string, text: string | undefined): string {
  if (text === undefined) return "unset";
  if (key !== "raw.lxc") return text.trimEnd();
  return text
    .trimEnd()
    .split("\n")
    .filter((line) => !DECLARED_LINES.test(line))
    .join("\n");
}

function quote(text: string): string {
  const quoted = JSON.stringify(text);
  return quoted.length > 100 ? `${quoted.slice(0, 97)}…"` : quoted;
}
