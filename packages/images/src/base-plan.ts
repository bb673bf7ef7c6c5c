/**
 * The base of an instrument's image, decided: which distribution, suite and packages, how much is
 * left out. Instruments with the same plan share one built base; `key` is its address in the cache.
 *
 * Pure. What differs between the bases is decided here and in their bootstrap, nowhere else.
 */
import { createHash } from "node:crypto";
import type { Manifest } from "@bulkhead/schema";
import { TRIM_RULES } from "./trim.ts";

export type Base = "debian" | "alpine";

export interface BasePlan {
  readonly base: Base;
  readonly suite: string;
  /** Sorted, without repetitions; the base's own and the recipe's. */
  readonly packages: readonly string[];
  /** Of these only the named file is kept, unless a kept package needs them. */
  readonly fileOnly: Readonly<Record<string, string>>;
  readonly trim: boolean;
  /** The agent's Node comes on a shared disk device, or lies in the image, or is not needed. */
  readonly node: "device" | "image";
}

/** Bases of today; a recipe may name another suite. */
export const DEFAULT_SUITE: Readonly<Record<Base, string>> = { debian: "trixie", alpine: "v3.22" };

/** Raised when the builder makes another tree from the same plan. */
const BUILDER_VERSION = 1;

/** What every image has: an init that reaps, a static busybox, and the libraries that Node needs. */
const BASE_PACKAGES: Readonly<Record<Base, readonly string[]>> = {
  debian: ["base-files", "busybox-static", "libc6", "libgcc-s1", "libstdc++6", "tini"],
  // A Node that is linked with glibc does not run on musl: Alpine brings its own.
  alpine: ["alpine-baselayout", "busybox-static", "libgcc", "libstdc++", "nodejs", "tini"],
};

/** Where a tap needs NET_RAW: drops all else before the tool starts (util-linux; busybox's lacks the flags). */
const SETPRIV: Readonly<Record<Base, string>> = { debian: "util-linux", alpine: "setpriv" };

/** Decides the base of a manifest's image. */
export function planBase(manifest: Pick<Manifest, "image" | "run">): BasePlan {
  const { base, packages, trim, suite } = manifest.image;
  const setpriv = manifest.run.capabilities.includes("NET_RAW");
  const all = new Set([...BASE_PACKAGES[base], ...packages]);
  const fileOnly = setpriv && !all.has(SETPRIV[base]) && base === "debian";
  if (setpriv) all.add(SETPRIV[base]);
  return {
    base,
    suite: suite ?? DEFAULT_SUITE[base],
    packages: [...all].toSorted(),
    fileOnly: fileOnly ? { [SETPRIV[base]]: "usr/bin/setpriv" } : {},
    trim,
    node: base === "alpine" ? "image" : "device",
  };
}

/** Content address of a base: hex sha256 over the plan, the rules of trimming and the builder's version. */
export function baseKey(plan: BasePlan): string {
  return digestOf([BUILDER_VERSION, plan, TRIM_RULES]);
}

/** Hex sha256 of a value's JSON; keys keep the order in which the code writes them. */
export function digestOf(value: unknown): string {
  return createHash("sha256").update(JSON.stringify(value)).digest("hex");
}
