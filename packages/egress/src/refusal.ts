/**
 * A refusal: why a connection is not made, or ended before its time. It is an expected outcome, carried as an error
 * through what is asynchronous; the reason is what is recorded and what the instrument is told.
 */
import type { EgressReason } from "@bulkhead/schema";

export class Refusal extends Error {
  override readonly name = "Refusal";
  readonly reason: EgressReason;
  /** The address that was at fault, or connected to; empty for none. */
  readonly address: string;

  constructor(
    reason: EgressReason,
    message: string,
    options: { readonly address?: string; readonly cause?: unknown } = {},
  ) {
    super(message, "cause" in options ? { cause: options.cause } : undefined);
    this.reason = reason;
    this.address = options.address ?? "";
  }
}

/** HTTP status for a refusal: 403 for what is forbidden, 429 and 503 for what may be tried later, 502 for the outside's fault. */
export function statusOf(reason: EgressReason): number {
  switch (reason) {
    case "too-fast":
    case "too-many-connections":
      return 429;
    case "connect-failed":
    case "dns-failed":
    case "name-not-found":
    case "upstream-refused":
      return 502;
    case "connect-timeout":
      return 504;
    case "records-full":
      return 503;
    case "request-invalid":
      return 400;
    case "method-refused":
      return 405;
    case "address-refused":
    case "bytes-exceeded":
    case "ech-refused":
    case "host-header-differs":
    case "idle-timeout":
    case "not-granted":
    case "not-tls":
    case "revoked":
    case "sni-differs":
    case "sni-missing":
    case "tls-hello-timeout":
    case "tls-hello-too-long":
      return 403;
  }
}
