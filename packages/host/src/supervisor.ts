/**
 * Supervisor: the port through which the platform's processes are kept running, and what a process is to it.
 *
 * Invariants: order-free (each process waits for what it needs); whatever dies comes back; a definition that changed
 * restarts its process, one that did not is left running. Two implementations: systemd-supervisor.ts, s6-supervisor.ts.
 */
import type { ServiceName } from "./service.ts";

/** One process of the platform, fully decided. Every string was made from validated names. */
export interface ServiceDefinition {
  readonly process: ServiceName;
  /** Name of the systemd unit (without `.service`) or of the s6 service directory. */
  readonly unit: string;
  readonly description: string;
  readonly argv: readonly string[];
  /** Account to run as; `root` alone for warden. */
  readonly user: string;
  /** A file without which the process cannot begin; waited for without limit. */
  readonly waitFor: string | null;
  /** Changes with the program, so that a new program restarts the process. */
  readonly build: string;
  readonly logDir: string;
  readonly hardening: Hardening;
}

/** What the process may do, as far as a supervisor can hold it. */
export interface Hardening {
  /** `datapath`: makes mounts and namespaces of the host; `confined`: sees a read-only host. */
  readonly profile: "datapath" | "confined";
  /** Where its packets may go to and come from. */
  readonly network: "none" | "loopback" | "any";
  readonly addressFamilies: readonly string[];
  /** Directories that a confined process may write. */
  readonly writable: readonly string[];
}

export interface ProcessState {
  readonly unit: string;
  /** `absent`: the supervisor does not know it. */
  readonly state: "running" | "starting" | "stopped" | "absent";
  readonly pid: number | null;
  /** How long it has been in this state; null where unknown. */
  readonly forMs: number | null;
}

export interface Supervisor {
  readonly kind: "systemd" | "s6";
  /** Writes the definitions and has all of them running. @returns units that were started or restarted */
  start(services: readonly ServiceDefinition[]): Promise<readonly string[]>;
  /** Stops and waits; units that are not known are no error. */
  stop(units: readonly string[]): Promise<void>;
  /** Stops, and forgets the definitions. @returns units that were known */
  remove(units: readonly string[]): Promise<readonly string[]>;
  /** @throws HostError `host-supervisor-failed` if the unit is not known */
  restart(unit: string): Promise<void>;
  observe(units: readonly string[]): Promise<readonly ProcessState[]>;
}
