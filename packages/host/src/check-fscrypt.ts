/**
 * Whether the kernel encrypts ext4, by its own word: /sys/fs/ext4/features says what the running one was built with.
 */
import { readTextFile } from "./atomic-file.ts";
import { absent, failed, type HostCheck, ok } from "./host-check.ts";

export async function checkFscrypt(): Promise<HostCheck> {
  // Without any feature the module is not loaded; the first volume loads it.
  if ((await readTextFile("/sys/fs/ext4/features/lazy_itable_init")) === undefined) {
    return absent(
      "fscrypt",
      "ext4 is not loaded yet, so it cannot be asked",
      "modprobe ext4, and look again",
    );
  }
  const feature = (await readTextFile("/sys/fs/ext4/features/encryption"))?.trim();
  return feature === "supported"
    ? ok("fscrypt", "ext4 encrypts")
    : failed(
        "fscrypt",
        "the kernel does not encrypt ext4, so no volume could be kept",
        "use a kernel with CONFIG_FS_ENCRYPTION (the distribution's own has it), or load the module ext4",
      );
}
