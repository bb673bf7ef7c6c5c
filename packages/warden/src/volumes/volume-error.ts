/** Failures of volumes: which volume, and a code of its own where a full disk was the reason. */
import { isWardenError, WardenError, type WardenErrorCode } from "../error.ts";
import { isErrno } from "../site/read-file.ts";
import { loopDevicesOf } from "./loop-devices.ts";
import { mountHolders } from "./mount-holders.ts";
import type { KeyRef, VolumeRef } from "./volume-store.ts";

export function renderVolume({ instrument, id, slice }: KeyRef): string {
  return `${slice === undefined ? "" : `slice ${slice} of `}volume ${instrument}/${id}`;
}

/** Runs `action`; what fails gets this code, or `volume-no-space`. */
export async function coded(
  code: WardenErrorCode,
  ref: KeyRef,
  action: () => Promise<unknown>,
): Promise<void> {
  try {
    await action();
  } catch (cause) {
    // It says already what is wrong with which volume.
    if (isWardenError(cause) && (cause.code.startsWith("volume-") || cause.code.startsWith("vault-")))
      throw cause;
    const full =
      isErrno(cause, "ENOSPC") || (isWardenError(cause) && /No space left on device/.test(cause.message));
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new WardenError(full ? "volume-no-space" : code, `${renderVolume(ref)}: ${reason}`, {
      cause,
      fields: { instrument: ref.instrument, id: ref.id },
    });
  }
}

export function keyHeld(ref: VolumeRef): WardenError {
  return new WardenError(
    "volume-key-held",
    `${renderVolume(ref)}: files are still open under its key; they stay readable to whoever has them`,
    { fields: { instrument: ref.instrument, id: ref.id } },
  );
}

export async function volumeHeld(ref: VolumeRef, file: string): Promise<WardenError> {
  const holders = (await mountHolders(await loopDevicesOf(file))).join(", ");
  return new WardenError(
    "volume-busy",
    `${renderVolume(ref)}: ${file} is held by ${holders || "the kernel"}`,
    {
      fields: { instrument: ref.instrument, id: ref.id, file, holders },
    },
  );
}

export function volumeMissing(ref: VolumeRef): WardenError {
  return new WardenError("volume-missing", `${renderVolume(ref)}: there is no such volume`, {
    fields: { instrument: ref.instrument, id: ref.id },
  });
}
