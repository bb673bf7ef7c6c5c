/**
 * ImageFault: a build, download or admission that failed, with a stable code.
 *
 * Every code stands in docs/errors.md. `accepted` says what would have worked, where that can be
 * known; expected outcomes (a package that is already built) are return values, never faults.
 */

export type ImageFaultCode =
  | "image-admission-device"
  | "image-admission-duplicate"
  | "image-admission-file-capability"
  | "image-admission-link"
  | "image-admission-owner"
  | "image-admission-path"
  | "image-admission-setuid"
  | "image-admission-tar"
  | "image-admission-templates"
  | "image-alpine-unavailable"
  | "image-bundle-failed"
  | "image-command-failed"
  | "image-command-missing"
  | "image-config-schema"
  | "image-file-missing"
  | "image-manifest"
  | "image-mirror-unknown"
  | "image-mirrors-file"
  | "image-package-missing"
  | "image-program-missing"
  | "image-version-too-old";

export class ImageFault extends Error {
  readonly code: ImageFaultCode;
  /** What would be accepted in its place; empty where nothing can be said. */
  readonly accepted: string;

  constructor(
    code: ImageFaultCode,
    message: string,
    options: { readonly accepted?: string; readonly cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.name = "ImageFault";
    this.code = code;
    this.accepted = options.accepted ?? "";
  }
}
