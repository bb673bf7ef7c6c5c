/**
 * Where the host keeps what a proof looks at beside the kernel: the runtime's logs of the canary, and the platform's
 * own secrets, which must be nowhere in it.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { CANARY_NAME, type InstallationLayout } from "@bulkhead/schema";
import { isGone } from "./processes.ts";

/** Of LXD as a Debian package and as a snap, and of Incus; those that are not there hold nothing. */
export function runtimeLogDirs(slug: string): readonly string[] {
  return ["/var/log/lxd", "/var/snap/lxd/common/lxd/logs", "/var/log/incus"].map((dir) =>
    join(dir, `${slug}_${CANARY_NAME}`),
  );
}

/** Shorter than any key's; a piece that stands in other programs' memory by chance would be none. */
const PIECE_BYTES = 24;

/** A piece of each: the sensor's private key, the master key and the wrapped ones, the broker's passwords. */
export async function platformSecrets(layout: InstallationLayout): Promise<readonly Buffer[]> {
  const files = [
    layout.sensorKeyFile,
    layout.vaultKeyFile,
    ...(await filesIn(layout.vaultDir)),
    ...(await filesIn(layout.brokerDir)),
  ];
  const found: Buffer[] = [];
  for (const file of files) {
    const bytes = await readFile(file).catch((error: unknown) => {
      // A vault that is opened by a passphrase or a TPM has no key file.
      if (isGone(error)) return Buffer.alloc(0);
      throw error;
    });
    if (file.endsWith(".pem")) found.push(...pemPieces(bytes.toString("utf8")));
    // A password of the broker's in its configuration, or a key as it lies in its file.
    else if (file.endsWith(".conf")) found.push(...passwordsIn(bytes.toString("utf8")));
    else if (bytes.length >= PIECE_BYTES && bytes.length <= 64) found.push(bytes);
  }
  return found;
}

function pemPieces(text: string): readonly Buffer[] {
  const lines = text.split("\n").filter((line) => line.length >= PIECE_BYTES && !line.startsWith("-----"));
  return lines.slice(0, 1).map((line) => Buffer.from(line));
}

function passwordsIn(text: string): readonly Buffer[] {
  return [...text.matchAll(/password:\s*"?([^"\s,}]{16,})/g)].map(([, password = ""]) =>
    Buffer.from(password),
  );
}

async function filesIn(dir: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(dir, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => join(dir, name));
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}
