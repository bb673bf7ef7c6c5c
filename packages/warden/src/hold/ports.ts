/**
 * What the holder needs of the host: ports that it owns. The real ones are engine/, datapath/,
 * volumes/ and inbox/; tests of the holder give an in-memory host.
 */
import type { Desired, DesiredPort, DesiredTap, TimeSpan } from "@bulkhead/core";
import type {
  Catalogue,
  Observed,
  Step,
  StepKind,
  TapCounters,
  VaultState,
  WardenState,
} from "@bulkhead/schema";
import type { PortReport } from "@bulkhead/schema";
import type { AcceptedPackages } from "../site/catalogue-store.ts";
import type { SiteStore } from "../site/site-store.ts";
import type { HoldState } from "./hold-state.ts";

/** What the site is called in faults and in `explain`. */
export const SITE_FILE = "site.yaml";

/** Where the files lie that a step may take from the site. */
export interface StepContext {
  readonly siteDir: string;
}

export type StepOf<K extends StepKind> = Extract<Step, { kind: K }>;

/** One executor for each kind of step: a missing one does not compile. Each is idempotent and unwinds by itself. */
export type Executors = {
  readonly [K in StepKind]: (step: StepOf<K>, context: StepContext) => Promise<void>;
};

/** What the host cannot know by itself. */
export type Expected = Pick<Desired, "taps" | "spans" | "segments" | "ports" | "nics" | "egress">;

export interface Host {
  readonly executors: Executors;
  /** `expected`: taps whose filters may be in force (the kernel holds only digests), and devices to look out for. */
  observe(expected: Expected): Promise<Observed>;
  /** Reads the taps' counters from outside the instruments; `pids` are those of the last look. */
  counters(taps: readonly DesiredTap[], pids: ReadonlyMap<string, number>): Promise<readonly TapCounters[]>;
  /** What passed the ports on segments and what was refused, read now. */
  networkReport(ports: readonly DesiredPort[]): Promise<readonly PortReport[]>;
  /** Ends all of an instrument's processes at once, outside of any plan: containment comes before order. */
  halt(instrument: string): Promise<void>;
  /** Calls back when something changed that is worth a look; a hint, never a fact. */
  onHint(listener: () => void): void;
  /** The compiler's objection to a capture filter; null where it takes it. */
  rejectFilter(expression: string): Promise<string | null>;
  /** Removes what instruments share: the runtime's project and pool, and claims. */
  teardown(): Promise<void>;
}

/** One entry of the audit log. */
export interface Audit {
  append(
    kind: string,
    subject: string,
    detail: Readonly<Record<string, string | number | boolean>>,
  ): Promise<void>;
}

/** The audit log as the holder sees it. */
export interface HolderAudit extends Audit {
  /** What is not recorded as it should be. */
  problems(): WardenState["problems"];
}

/** By which slices of volumes are made and destroyed. */
export interface HolderClock {
  span(): TimeSpan;
  /** Why what is due may stay. */
  problem(): WardenState["problems"][number] | null;
  /** Writes down what is needed after a restart. */
  keep(): Promise<void>;
}

/** All that the holder works with. */
export interface HolderParts {
  readonly host: Host;
  readonly sites: SiteStore;
  readonly accepted: AcceptedPackages;
  readonly state: HoldState;
  readonly audit: HolderAudit;
  readonly vault: () => VaultState;
  readonly readCatalogue: () => Promise<Catalogue>;
  readonly nowMs: () => number;
  readonly clock: HolderClock;
}
