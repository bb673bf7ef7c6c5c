/**
 * installation.json: what set-up decided for this host, written by root once and read by all
 * processes of the installation. It holds no secret.
 */
import * as z from "zod";
import { InstallationName } from "./name.ts";

export const Settings = z.strictObject({
  installation: InstallationName,
  /** Which container runtime, and its Unix socket. */
  runtime: z.strictObject({ kind: z.enum(["lxd", "incus"]), socket: z.string().startsWith("/") }),
  /** Loopback port of the broker. */
  brokerPort: z.int().min(1024).max(65535),
  supervisor: z.enum(["systemd", "s6"]),
  /** uid and gid of the installation's user, which sensord and the broker run as. */
  uid: z.int().positive(),
  gid: z.int().positive(),
  /** Size of the platform's own volume when it is made; DEFAULT_PLATFORM_BYTES where left out. */
  platformBytes: z.int().positive().optional(),
});
export type Settings = z.infer<typeof Settings>;
