/** Failures of volumes: which volume, and a code of its own where a full disk was the reason. */
import { isWardenError, WardenError, type WardenErrorCode } from "../error.ts";
import type { VolumeRef } from "./volume-store.ts";

export function renderVolume(ref: VolumeRef): string {
  return `volume ${ref.instrument}/${ref.id}`;
}

/** Runs `action`; what fails gets this code, or `volume-no-space`. */
export async function coded(
  code: WardenErrorCode,
  ref: VolumeRef,
  action: () => Promise<unknown>,
): Promise<void> {
  try {
    await action();
  } catch (cause) {
    // It says already what is wrong with which volume.
    if (isWardenError(cause) && (cause.code.startsWith("volume-") || cause.code.startsWith("vault-")))
      throw cause;
    const full = isWardenError(cause) && /No space left on device/.test(cause.message);
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WardenError(full ? "volume-no-space" : code, `${renderVolume(ref)}: ${reason}`, {
      cause,
      fields: { instrument: ref.instrument, id: ref.id },
    });
  }
}
