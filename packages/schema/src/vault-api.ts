/**
 * What is said of the vault, and what root can ask of it. Secrets stand in requests and in one
 * reply (a new recovery phrase), on root's socket alone; nothing else ever carries one.
 */
import * as z from "zod";
import { Name } from "./name.ts";

/** What opens the vault: a root-only file, a passphrase, or the host's TPM 2.0. */
export const VaultMethod = z.enum(["file", "passphrase", "tpm"]);
export type VaultMethod = z.infer<typeof VaultMethod>;

/** `absent`: set-up has made no vault; nothing that needs one runs. */
export const VaultState = z.strictObject({
  state: z.enum(["unlocked", "locked", "absent"]),
  method: VaultMethod.nullable(),
  /** Why it is not unlocked, and what would help; null where it is. */
  problem: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
});
export type VaultState = z.infer<typeof VaultState>;

export const NO_VAULT: VaultState = { state: "absent", method: null, problem: null };

/** The owner and id under which the platform's own volume stands beside those of instruments. */
export const PLATFORM_VOLUME = { instrument: "platform", id: "state" } as const;
export const DEFAULT_PLATFORM_BYTES = 1024 ** 3;

export const VaultVolume = z.strictObject({
  instrument: Name,
  id: Name,
  kind: z.enum(["persistent", "transient"]),
  sizeBytes: z.int(),
  mounted: z.boolean(),
  /** `held`: removed, but the kernel still has files open under it; `missing`: there is no record of its key. */
  key: z.enum(["present", "absent", "held", "missing"]),
  /** How many slices it is cut in, each with a key of its own; `key` is that of all of them. */
  slices: z.int().optional(),
});
export type VaultVolume = z.infer<typeof VaultVolume>;

export const VaultStatus = z.strictObject({ ...VaultState.shape, volumes: z.array(VaultVolume) });
export type VaultStatus = z.infer<typeof VaultStatus>;

/** How the TPM is reached, and which of its registers must be as they were. */
export const TpmPlace = z.strictObject({
  /** As tpm2-tools' --tcti takes it. */
  tcti: z.string().regex(/^[a-z]+(:[A-Za-z0-9_=,./-]+)?$/, "such as device:/dev/tpmrm0"),
  pcrs: z.string().regex(/^sha256:\d{1,2}(,\d{1,2})*$/, "such as sha256:0,7"),
});
export type TpmPlace = z.infer<typeof TpmPlace>;
/** 0: the firmware; 7: the state of Secure Boot. What changes with each kernel update is left out. */
export const DEFAULT_TPM: TpmPlace = { tcti: "device:/dev/tpmrm0", pcrs: "sha256:0,7" };

const Passphrase = z.string().min(1).max(1024);

export const VaultUnlock = z.discriminatedUnion("with", [
  z.strictObject({ with: z.literal("method") }),
  z.strictObject({ with: z.literal("passphrase"), passphrase: Passphrase }),
  z.strictObject({ with: z.literal("recovery"), phrase: Passphrase }),
]);
export type VaultUnlock = z.infer<typeof VaultUnlock>;

export const VaultRekey = z.strictObject({
  /** The present method where left out. */
  method: VaultMethod.optional(),
  /** Needed for the method `passphrase`. */
  passphrase: Passphrase.optional(),
  tpm: TpmPlace.optional(),
  /** Makes a new recovery phrase; the former opens nothing any more. */
  recovery: z.boolean().default(false),
});
export type VaultRekey = z.infer<typeof VaultRekey>;

export const VaultRekeyReply = z.strictObject({
  method: VaultMethod,
  recoveryPhrase: z.string().nullable(),
});

export const VaultGrow = z.strictObject({ instrument: Name, id: Name, sizeBytes: z.int().positive() });
export type VaultGrow = z.infer<typeof VaultGrow>;

/** A destruction of an instrument's data; what sensord keeps of it has to go too. */
export const Erasure = z.strictObject({ instrument: Name, id: z.string(), at: z.string() });
export type Erasure = z.infer<typeof Erasure>;

/** What set-up asks the vault's tool. */
export const VaultInit = z.strictObject({
  method: VaultMethod,
  passphrase: Passphrase.optional(),
  tpm: TpmPlace.optional(),
});
export type VaultInit = z.infer<typeof VaultInit>;

/** What a restoration asks it: to take over a vault by its recovery phrase. */
export const VaultAdopt = VaultInit.extend({ from: z.string().startsWith("/"), phrase: Passphrase });
export type VaultAdopt = z.infer<typeof VaultAdopt>;

export const VaultAnswer = z.strictObject({
  /** False where there was one already. */
  made: z.boolean(),
  method: VaultMethod.nullable(),
  recoveryPhrase: z.string().nullable(),
});
export type VaultAnswer = z.infer<typeof VaultAnswer>;
