/**
 * Names: what people call instruments, sensors, packages, interfaces and installations.
 *
 * A name becomes a DNS label, a bus subject token, an LXD instance name and a path component,
 * so it is validated once here and may then stand in an argv. Nothing else may invent names.
 */
import * as z from "zod";

const NAME_PATTERN = /^[a-z][a-z0-9]*(-[a-z0-9]+)*$/;
const NAME_ACCEPTED = "lower-case letters, digits and single hyphens, beginning with a letter";

/** The platform itself emits events under this name; no instrument may be called so. */
export const PLATFORM_NAME = "platform";

/** The container in which a proof runs its adversary; no instrument may be called so. */
export const CANARY_NAME = "canary";

/** The egress proxy's namespace and user are called so. */
export const EGRESS_NAME = "egress";

/** Names of the platform's own, which a site cannot give. */
export const RESERVED_NAMES: readonly string[] = [PLATFORM_NAME, CANARY_NAME, EGRESS_NAME];

/** Name of an instrument, sensor, package, interface or need: at most 24 characters. */
export const Name = z
  .string()
  .max(24, "at most 24 characters")
  .regex(NAME_PATTERN, NAME_ACCEPTED)
  .meta({ description: `${NAME_ACCEPTED}, at most 24 characters` });
export type Name = z.infer<typeof Name>;

/** Name of an installation: shorter, because it is a part of user and interface names. */
export const InstallationName = z
  .string()
  .max(16, "at most 16 characters")
  .regex(NAME_PATTERN, NAME_ACCEPTED);
export type InstallationName = z.infer<typeof InstallationName>;

/** Type of an event or verb of a message: dotted lower-case tokens, as in `suricata.alert`. */
export const DottedName = z
  .string()
  .max(64, "at most 64 characters")
  .regex(
    /^[a-z][a-z0-9_-]*(\.[a-z0-9][a-z0-9_-]*)*$/,
    "lower-case tokens joined by dots, as in suricata.alert; no wildcards",
  );
export type DottedName = z.infer<typeof DottedName>;
