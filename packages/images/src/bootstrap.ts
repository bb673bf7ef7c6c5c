/**
 * Bootstrap: the one step in which the bases differ. It fills an empty directory with a
 * distribution's tree and says which packages that holds; everything after it is common.
 */
import type { Base, BasePlan } from "./base-plan.ts";
import type { OnProgress } from "./command.ts";
import type { DistributionPackage } from "./inventory.ts";

export interface BootstrapOptions {
  readonly cacheDir: string;
  readonly onProgress?: OnProgress | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface BootstrappedTree {
  /** All packages that were unpacked. */
  readonly packages: readonly DistributionPackage[];
  /** Paths (relative) that each of the given packages owns; asked only for what is left out. */
  filesOf(names: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>>;
  /** Small text files to add: what tells a scanner which packages are inside. */
  recordsOf(kept: ReadonlySet<string>): ReadonlyMap<string, string>;
}

export type Bootstrap = (
  plan: BasePlan,
  /** Exists and is empty. */
  dir: string,
  options: BootstrapOptions,
) => Promise<BootstrappedTree>;

export type Bootstraps = Readonly<Record<Base, Bootstrap>>;
