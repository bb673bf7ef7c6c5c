/**
 * A container as the runtime describes it against the profile.
 *
 * Invariants: pure; keys and devices that the profile does not name are deviations, apart from what the runtime keeps
 * for itself (`volatile.`, `image.`); profiles of the runtime are never used, so that expanded is what was set.
 */
import type { ContainerProfile } from "./profile.ts";
import type { Instance } from "./runtime-schemas.ts";

const OWN_PREFIXES = ["volatile.", "image."] as const;

/** @returns deviations in plain words; empty where there are none */
export function configDeviations(
  profile: Pick<ContainerProfile, "config" | "devices">,
  instance: Pick<Instance, "type" | "profiles" | "expanded_config" | "expanded_devices">,
): readonly string[] {
  const deviations: string[] = [];
  if (instance.type !== "container") deviations.push(`it is a ${instance.type}, not a container`);
  for (const name of instance.profiles ?? []) deviations.push(`the runtime's profile ${name} is in use`);
  const found = Object.fromEntries(
    Object.entries(instance.expanded_config).filter(
      ([key]) => !OWN_PREFIXES.some((prefix) => key.startsWith(prefix)),
    ),
  );
  deviations.push(...differences("", profile.config, found));
  const devices = instance.expanded_devices;
  for (const name of new Set([...Object.keys(profile.devices), ...Object.keys(devices)])) {
    const [wanted, present] = [profile.devices[name], devices[name]];
    if (wanted === undefined) deviations.push(`the device ${name} is not in the profile`);
    else if (present === undefined) deviations.push(`the device ${name} is missing`);
    else deviations.push(...differences(`device ${name}: `, wanted, present));
  }
  return deviations;
}

function differences(
  where: string,
  wanted: Readonly<Record<string, string>>,
  found: Readonly<Record<string, string>>,
): readonly string[] {
  const keys = [...new Set([...Object.keys(wanted), ...Object.keys(found)])].toSorted();
  return keys.flatMap((key) => {
    // The runtime keeps a last line break or drops it, by version.
    const [want, have] = [wanted[key]?.trimEnd(), found[key]?.trimEnd()];
    if (want === have) return [];
    if (want === undefined) return [`${where}${key} is ${quote(have)}, but not in the profile`];
    return [`${where}${key} is ${quote(have)}, not ${quote(want)}`];
  });
}

function quote(value: string | undefined): string {
  if (value === undefined) return "unset";
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 77)}…"` : text;
}
