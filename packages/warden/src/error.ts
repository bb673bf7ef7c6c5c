/**
 * The one error class of warden.
 *
 * Invariants: every failed operation carries a stable `code` that stands in docs/errors.md; `fields` are printable
 * facts (names, numbers, a tool's own message) and never secrets; the reason is kept as `cause`.
 * It is not used for expected outcomes: those are return unions.
 */

/** Stable codes; each stands in docs/errors.md. */
export type WardenErrorCode =
  | "audit-entry-too-large"
  | "audit-rate"
  | "audit-unwritable"
  | "canary-differs"
  | "canary-missing"
  | "catalogue-bad-package"
  | "command-aborted"
  | "command-failed"
  | "command-missing"
  | "command-timeout"
  | "datapath-bad-name"
  | "datapath-filter-invalid"
  | "datapath-filter-too-long"
  | "datapath-instrument-gone"
  | "datapath-instrument-shares-network"
  | "datapath-mirror-in-use"
  | "datapath-namespace-foreign"
  | "datapath-offload-stuck"
  | "datapath-span-absent"
  | "datapath-span-claimed"
  | "datapath-span-in-use"
  | "datapath-span-occupied"
  | "datapath-wire-missing"
  | "egress-account-missing"
  | "egress-device-absent"
  | "idmap-claim-foreign"
  | "idmap-exhausted"
  | "idmap-subid-missing"
  | "image-digest-differs"
  | "image-missing"
  | "inbox-file-differs"
  | "inbox-file-missing"
  | "inbox-name-refused"
  | "inbox-no-space"
  | "instrument-deviates"
  | "instrument-ended"
  | "instrument-exists"
  | "instrument-netns-missing"
  | "instrument-not-running"
  | "instrument-start-failed"
  | "instrument-unknown"
  | "profile-capability-refused"
  | "profile-command-refused"
  | "profile-path-refused"
  | "network-port-missing"
  | "network-segment-missing"
  | "runtime-aborted"
  | "runtime-answer-too-long"
  | "runtime-answer-unreadable"
  | "runtime-conflict"
  | "runtime-extension-missing"
  | "runtime-home-foreign"
  | "runtime-not-found"
  | "runtime-operation-failed"
  | "runtime-refused"
  | "runtime-timeout"
  | "runtime-unknown"
  | "runtime-unreachable"
  | "runtime-untrusted"
  | "sensor-down"
  | "site-file-too-large"
  | "site-not-root-owned"
  | "site-not-staged"
  | "site-unreadable"
  | "slice-failed"
  | "step-failed"
  | "unknown-instrument"
  | "vault-absent"
  | "vault-damaged"
  | "vault-exists"
  | "vault-key-file-missing"
  | "vault-passphrase-missing"
  | "vault-passphrase-wrong"
  | "vault-phrase-wrong"
  | "vault-tpm-missing"
  | "vault-tpm-refused"
  | "volume-busy"
  | "volume-create-failed"
  | "volume-damaged"
  | "volume-grow-failed"
  | "volume-key-damaged"
  | "volume-key-differs"
  | "volume-key-held"
  | "volume-key-missing"
  | "volume-kind-differs"
  | "volume-locked"
  | "volume-missing"
  | "volume-mount-failed"
  | "volume-no-space"
  | "volume-not-read"
  | "volume-not-encrypted"
  | "volume-too-small"
  | "warden-not-root";

/** What is known about a failure, printable as JSON. */
export type WardenErrorFields = Readonly<Record<string, string | number | boolean | null>>;

/** An operation of warden that failed. */
export class WardenError extends Error {
  override readonly name = "WardenError";
  readonly code: WardenErrorCode;
  readonly fields: WardenErrorFields;

  constructor(
    code: WardenErrorCode,
    message: string,
    options: { readonly fields?: WardenErrorFields; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.code = code;
    this.fields = options.fields ?? {};
  }
}

/** True if `error` is a WardenError, of this code if one is given. */
export function isWardenError(error: unknown, code?: WardenErrorCode): error is WardenError {
  return error instanceof WardenError && (code === undefined || error.code === code);
}
