/**
 * Platform volume: the broker's streams, sensord's state and the audit log, encrypted like an instrument's data.
 *
 * Invariants: while it is not open its directories are not there, and its mount point is root's, so that nothing of
 * it is ever written in clear; it is made once, and a damaged one is never replaced by an empty one.
 */
import { chmod, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import {
  DEFAULT_PLATFORM_BYTES,
  type InstallationLayout,
  PLATFORM_VOLUME,
  type Settings,
} from "@bulkhead/schema";
import type { Commands } from "../commands.ts";
import { isMountPoint } from "../engine/host-mounts.ts";
import { giveTo } from "../volumes/give-to.ts";
import type { VolumeStore } from "../volumes/volume-store.ts";
import { fscrypt } from "./fscrypt.ts";

export interface PlatformVolumeParts {
  readonly volumes: VolumeStore;
  readonly commands: Commands;
  readonly layout: Pick<
    InstallationLayout,
    "mountsDir" | "platformDir" | "brokerDir" | "sensordDir" | "auditDir" | "resourcesDir"
  >;
  readonly settings: Pick<Settings, "uid" | "gid" | "platformBytes">;
}

export interface PlatformVolume {
  /** Whether it is mounted with its key present, also from before this process. */
  isOpen(): Promise<boolean>;
  /** Makes it if it was never made, and opens it. @throws as VolumeStore.create and attach */
  open(): Promise<void>;
  /** Nothing may use it any more. @throws WardenError `volume-busy`, `volume-key-held` */
  close(): Promise<void>;
}

const ROOT = { uid: 0, gid: 0 } as const;

export function platformVolume(parts: PlatformVolumeParts): PlatformVolume {
  const { volumes, commands, layout, settings } = parts;
  const crypt = fscrypt(commands);
  const { uid, gid, platformBytes: sizeBytes = DEFAULT_PLATFORM_BYTES } = settings;
  const volume = { ...PLATFORM_VOLUME, kind: "persistent", sizeBytes } as const;
  return {
    async isOpen() {
      const mountDir = dirname(layout.platformDir);
      if (!(await isMountPoint(mountDir))) return false;
      const policy = await crypt.policyOf(layout.platformDir);
      return policy !== null && (await crypt.keyStatus(mountDir, policy)) === "present";
    },
    async open() {
      await volumes.create(volume);
      // The installation's user passes through to what is its own; listing is root's.
      const mountDir = dirname(layout.platformDir);
      for (const dir of [dirname(mountDir), mountDir]) {
        await mkdir(dir, { recursive: true });
        await chmod(dir, 0o711);
      }
      await volumes.attach(volume, ROOT);
      for (const dir of [mountDir, layout.platformDir]) await chmod(dir, 0o711);
      for (const dir of [layout.brokerDir, layout.sensordDir]) {
        await mkdir(dir, { recursive: true, mode: 0o700 });
        await giveTo(dir, { uid, gid }, commands);
      }
      await mkdir(layout.auditDir, { recursive: true, mode: 0o700 });
      // sensord looks into it, and makes nothing there: what lies in it is made by root.
      await mkdir(layout.resourcesDir, { recursive: true });
      await chmod(layout.resourcesDir, 0o755);
    },
    close: () => volumes.detach(volume),
  };
}
