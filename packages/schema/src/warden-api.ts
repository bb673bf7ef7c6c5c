/**
 * What warden can be asked, over HTTP on its two Unix sockets: a typed table of verbs and which
 * socket offers them. `wardenSocket` is sensord's; `rootSocket` is root's alone and offers all.
 */
import * as z from "zod";
import { TapCounters } from "./ledger.ts";
import { Name } from "./name.ts";
import { Observed } from "./observed.ts";
import { Fault } from "./fault.ts";
import { PackageTexts } from "./manifest.ts";
import { Plan, SiteFile, Step } from "./plan.ts";
import { Erasure, VaultState } from "./vault-api.ts";

/** What warden holds the host to, and what it found. The site is text, as accepted; sensord parses it with the same core. */
export const WardenState = z.strictObject({
  /** Rises with every change of this state. */
  revision: z.int(),
  site: z
    .strictObject({
      version: z.string(),
      text: z.string(),
      files: z.array(SiteFile),
      /** What each instrument runs: the catalogue's package, or the one that was accepted while a wider one waits. */
      packages: z.record(Name, PackageTexts),
    })
    .nullable(),
  /** Instruments that somebody stopped by hand; they stay so until started. */
  stopped: z.array(Name),
  observed: Observed,
  /** Instruments that ended by themselves: how often lately, and when the next start is due (RFC 3339). */
  crashes: z.array(
    z.strictObject({
      instrument: Name,
      count: z.int(),
      nextStart: z.string().nullable(),
      reason: z.string(),
    }),
  ),
  /** What the last pass could not do; empty where the host is as the site says. */
  problems: z.array(z.strictObject({ target: z.string(), code: z.string(), message: z.string() })),
  /** Steps that the last pass took. */
  lastSteps: z.array(Step),
  /** Instruments whose newer package asks for more than was accepted; the accepted one runs. */
  pending: z.array(z.strictObject({ instrument: Name, what: z.string() })),
  /** While it is not unlocked, what needs persistent data is not started. */
  vault: VaultState,
  /** The last destruction of each instrument's data, for sensord to purge what it keeps of it. */
  erasures: z.array(Erasure),
});
export type WardenState = z.infer<typeof WardenState>;

export const ApplyOutcome = z.discriminatedUnion("outcome", [
  z.strictObject({ outcome: z.literal("applied"), version: z.string(), plan: Plan }),
  z.strictObject({ outcome: z.literal("faults"), faults: z.array(Fault) }),
  /** A step failed; what had been done was undone, and the former site is in force. */
  z.strictObject({
    outcome: z.literal("failed"),
    step: Step.nullable(),
    code: z.string(),
    message: z.string(),
  }),
]);
export type ApplyOutcome = z.infer<typeof ApplyOutcome>;

export const InstrumentOrder = z.strictObject({ instrument: Name });
export const FilterQuestion = z.strictObject({ expressions: z.array(z.string().max(4000)).max(200) });
/** Objections by expression; those that would be accepted are left out. */
export const FilterAnswer = z.strictObject({ rejected: z.record(z.string(), z.string()) });
/** How much lies on an instrument's volumes, and of these ones when the oldest file was born. */
export const VolumeQuestion = z.strictObject({ instrument: Name, births: z.array(Name).max(16) });
export const VolumeUse = z.strictObject({
  id: Name,
  usedBytes: z.int(),
  /** Read by a program that runs as the instrument's own user; null where it was not asked or cannot be read. */
  births: z
    .strictObject({
      oldest: z.iso.datetime().nullable(),
      files: z.int(),
      /** False: there were more files than are looked at. */
      complete: z.boolean(),
    })
    .nullable(),
});
export type VolumeUse = z.infer<typeof VolumeUse>;
export const VolumeUses = z.strictObject({ volumes: z.array(VolumeUse) });

/** Route → method, and on which sockets. Handlers are a mapped type over this table. */
export const WARDEN_VERBS = {
  state: { method: "GET", path: "/v1/state", sockets: ["sensord", "root"] },
  /** NDJSON of WardenState: one at once, one at each change. */
  watch: { method: "GET", path: "/v1/watch", sockets: ["sensord", "root"] },
  counters: { method: "GET", path: "/v1/counters", sockets: ["sensord", "root"] },
  /** Counts and last refusals of the ports on segments. */
  network: { method: "GET", path: "/v1/network", sockets: ["sensord", "root"] },
  /** Applies the site that root staged. */
  apply: { method: "POST", path: "/v1/apply", sockets: ["sensord", "root"] },
  start: { method: "POST", path: "/v1/start", sockets: ["sensord", "root"] },
  stop: { method: "POST", path: "/v1/stop", sockets: ["sensord", "root"] },
  restart: { method: "POST", path: "/v1/restart", sockets: ["sensord", "root"] },
  /** What the capture filter compiler has against these expressions. */
  filters: { method: "POST", path: "/v1/filters", sockets: ["sensord", "root"] },
  /** Volumes that are not mounted are left out. */
  volumeUse: { method: "POST", path: "/v1/volumes/use", sockets: ["sensord", "root"] },
  audit: { method: "POST", path: "/v1/audit", sockets: ["sensord", "root"] },
  /** A page of the audit log. */
  auditRead: { method: "POST", path: "/v1/audit/read", sockets: ["sensord", "root"] },
  /**
   * Makes the canary of an instrument, see canary-api.ts: NDJSON of one CanaryReply. It is removed when this connection
   * ends, and the response ends when it is removed. `canaryAttack` answers when the adversary has ended.
   */
  canaryCreate: { method: "POST", path: "/v1/canary", sockets: ["root"] },
  canaryAttack: { method: "POST", path: "/v1/canary/attack", sockets: ["root"] },
  canaryRemove: { method: "POST", path: "/v1/canary/remove", sockets: ["root"] },
  /** Reads every instrument back now, without putting anything right. */
  readBack: { method: "GET", path: "/v1/read-back", sockets: ["root"] },
  /** Stops every instrument and takes the datapath down; persistent data stays. */
  down: { method: "POST", path: "/v1/down", sockets: ["root"] },
  /** Removes everything that warden made, data included. */
  purge: { method: "POST", path: "/v1/purge", sockets: ["root"] },
  /** The host's clock is right, after it was set: slices are destroyed by it. */
  clockConfirm: { method: "POST", path: "/v1/clock/confirm", sockets: ["root"] },
  vault: { method: "GET", path: "/v1/vault", sockets: ["root"] },
  vaultUnlock: { method: "POST", path: "/v1/vault/unlock", sockets: ["root"] },
  vaultRekey: { method: "POST", path: "/v1/vault/rekey", sockets: ["root"] },
  vaultGrow: { method: "POST", path: "/v1/vault/grow", sockets: ["root"] },
  /** Destroys the keys, then the data, of one instrument. */
  vaultDestroy: { method: "POST", path: "/v1/vault/destroy", sockets: ["root"] },
} as const;
export type WardenVerb = keyof typeof WARDEN_VERBS;
export const CountersReply = z.strictObject({ taps: z.array(TapCounters) });
