/** What the retention keeper needs of sensord's other parts; sensord.ts gives the real ones. */
import type {
  AuditEntry,
  Name,
  Observed,
  RetentionAnswer,
  RetentionCommand,
  VolumeUse,
  WardenState,
} from "@bulkhead/schema";
import type { StreamStore } from "../bus/stream-store.ts";

export interface RetentionPorts {
  /** Whether its container runs. */
  isRunning(instrument: Name): boolean;
  /** Throws when nobody answers in time, or with nonsense. */
  ask(
    instrument: Name,
    command: RetentionCommand,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<RetentionAnswer>;
  /** Throws while the broker is away. */
  store(): Promise<StreamStore>;
  /** How much lies on an instrument's volumes and, of these ones, when the oldest file was born. */
  measureVolumes(
    instrument: Name,
    births: readonly string[],
    signal: AbortSignal,
  ): Promise<readonly VolumeUse[]>;
  /** As warden found them last. */
  volumes(): Observed["volumes"];
  forgetRefusals(instrument: Name, beforeMs: number): number;
  erasures(): WardenState["erasures"];
  audit(kind: string, subject: string, detail: AuditEntry["detail"]): void;
}
