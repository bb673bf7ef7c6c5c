/**
 * A back-up: one archive with the site and the wrapped keys, and, apart from it, one with encrypted images. Neither
 * holds anything that opens the vault: that takes the recovery phrase.
 */
import * as z from "zod";
import { InstallationName, Name } from "./name.ts";

export const BackupManifest = z.strictObject({
  version: z.literal(1),
  installation: InstallationName,
  /** RFC 3339. */
  madeAt: z.string(),
  /** 16 hex digits; null where no site was in force. */
  siteVersion: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .nullable(),
  /** In the archive of images that was made with it. */
  volumes: z.array(z.strictObject({ instrument: Name, id: Name, sizeBytes: z.int().positive() })),
});
export type BackupManifest = z.infer<typeof BackupManifest>;
