/**
 * Method `tpm`: the wrapping key is sealed by the host's TPM 2.0 under a policy of platform configuration registers,
 * and comes out only while these are as they were. Through tpm2-tools, in a directory in memory that is removed.
 *
 * Invariants: the secret goes in over stdin and out over stdout, as hex; the TPM's transient objects are flushed
 * between the steps, since small ones hold three. Source: tpm2_create(1), tpm2_unseal(1).
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TpmPlace } from "@bulkhead/schema";
import * as z from "zod";
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { Secret } from "./secret.ts";

export const TpmRecord = z.strictObject({
  kind: z.literal("tpm"),
  ...TpmPlace.shape,
  public: z.base64(),
  private: z.base64(),
});
export type TpmRecord = z.infer<typeof TpmRecord>;

export interface TpmParts {
  readonly commands: Commands;
  /** A directory in memory, such as /run. */
  readonly workDir: string;
}

/** @throws WardenError `vault-tpm-missing`, `vault-tpm-refused` */
export async function sealByTpm(key: Secret, place: TpmPlace, parts: TpmParts): Promise<TpmRecord> {
  return withTpm(place, parts, async (run, file) => {
    await run(["tpm2_createpolicy", "--policy-pcr", "-l", place.pcrs, "-L", file("policy"), "-Q"]);
    await run(["tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", file("primary"), "-Q"]);
    await run(["tpm2_flushcontext", "-t"]);
    const out = ["-u", file("public"), "-r", file("private"), "-Q"];
    const create = ["tpm2_create", "-C", file("primary"), "-L", file("policy"), "-i", "-", ...out];
    await run([...create, "-a", "fixedtpm|fixedparent"], key.bytes.toString("hex"));
    await run(["tpm2_flushcontext", "-t"]);
    return {
      kind: "tpm",
      ...place,
      public: (await readFile(file("public"))).toString("base64"),
      private: (await readFile(file("private"))).toString("base64"),
    };
  });
}

/** @throws WardenError `vault-tpm-missing`, `vault-tpm-refused` */
export async function unsealByTpm(record: TpmRecord, parts: TpmParts): Promise<Secret> {
  return withTpm(record, parts, async (run, file) => {
    await writeFile(file("public"), Buffer.from(record.public, "base64"), { mode: 0o600 });
    await writeFile(file("private"), Buffer.from(record.private, "base64"), { mode: 0o600 });
    await run(["tpm2_createprimary", "-C", "o", "-g", "sha256", "-G", "ecc", "-c", file("primary"), "-Q"]);
    await run(["tpm2_flushcontext", "-t"]);
    const pair = ["-u", file("public"), "-r", file("private")];
    await run(["tpm2_load", "-C", file("primary"), ...pair, "-c", file("sealed"), "-Q"]);
    await run(["tpm2_flushcontext", "-t"]);
    const text = await run(["tpm2_unseal", "-c", file("sealed"), "-p", `pcr:${record.pcrs}`]);
    await run(["tpm2_flushcontext", "-t"]);
    if (/^[0-9a-f]{64}$/.test(text)) return new Secret(Buffer.from(text, "hex"));
    throw new WardenError("vault-tpm-refused", "what the TPM unsealed is no key");
  });
}

type Run = (argv: readonly string[], input?: string) => Promise<string>;

async function withTpm<T>(
  { tcti }: TpmPlace,
  { commands, workDir }: TpmParts,
  act: (run: Run, file: (name: string) => string) => Promise<T>,
): Promise<T> {
  const dir = await mkdtemp(join(workDir, "vault-tpm-"));
  const run: Run = async (argv, input) => {
    const [program = "", ...args] = argv;
    try {
      const options = input === undefined ? {} : { input };
      return (await commands.run([program, "-T", tcti, ...args], options)).stdout;
    } catch (cause) {
      throw tpmError(cause, program, tcti);
    }
  };
  try {
    return await act(run, (name) => join(dir, name));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

function tpmError(cause: unknown, program: string, tcti: string): unknown {
  if (!isWardenError(cause)) return cause;
  const said = String(cause.fields["stderr"] ?? "");
  if (cause.code === "command-missing") {
    return new WardenError("vault-tpm-missing", "tpm2-tools is not installed", { cause });
  }
  if (/Could not load tcti/.test(said)) {
    return new WardenError("vault-tpm-missing", `no TPM answers on ${tcti}`, { cause });
  }
  const reason = /policy check failed/.test(said)
    ? "the machine did not start as it did when the key was sealed (its PCRs differ)"
    : `${program}: ${said.split("\n").at(-1) ?? "failed"}`;
  return new WardenError("vault-tpm-refused", `the TPM does not give the key: ${reason}`, { cause });
}
