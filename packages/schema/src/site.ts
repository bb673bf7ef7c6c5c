/**
 * site.yaml: what the operator grants on one sensor. Everything that is not granted is denied.
 *
 * No wildcards. `flows`, `interfaces` and `fleet` are the sensor's own say: a fleet can steer the
 * sensor only within them.
 */
import * as z from "zod";
import { Addressing, Destination, IpNetwork, ListenPort } from "./addressing.ts";
import { EGRESS_INTERFACE, EgressGrant } from "./egress.ts";
import { DottedName, Name } from "./name.ts";
import { Duration, Size } from "./quantity.ts";

/** A Linux interface name: at most 15 bytes, no slash or space (dev_valid_name in net/core/dev.c). */
const Device = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, "a Linux interface name, at most 15 characters")
  .meta({ description: "a Linux interface name, at most 15 characters" });

export const SiteInterface = z.discriminatedUnion("kind", [
  z.strictObject({ kind: z.literal("span"), device: Device }),
  z.strictObject({
    kind: z.literal("segment"),
    device: Device,
    vlan: z.int().min(1).max(4094).optional(),
    /** Addresses of ports lie in one of these, also those that its DHCP server gives; where left out, in any. */
    networks: z.array(IpNetwork).min(1).max(8).optional(),
  }),
  z.strictObject({ kind: z.literal("egress"), device: Device, ...EGRESS_INTERFACE }),
]);
export type SiteInterface = z.infer<typeof SiteInterface>;

export const UiGrant = z.union([
  z.literal("deny"),
  z.strictObject({ roles: z.array(z.enum(["viewer", "analyst", "operator", "admin"])).min(1) }),
]);

export const SiteInstrument = z.strictObject({
  package: Name,
  /** Span interface that this capture engine owns. */
  source: Name.optional(),
  /** A receive-only wire from a capture engine; the filter is a tcpdump expression. */
  tap: z.strictObject({ from: Name, filter: z.string().max(4000).default("") }).optional(),
  /** A port on a segment. */
  bridge: z
    .strictObject({
      on: Name,
      address: Addressing,
      listen: z.array(ListenPort).max(64).default([]),
      egress: z.array(Destination).max(64).default([]),
    })
    .optional(),
  /** A physical device to itself; without an address it stays silent. */
  dedicated: z.strictObject({ device: Device, address: Addressing.optional() }).optional(),
  /** Through the platform's proxy to these hosts. */
  egress: EgressGrant.optional(),
  retention: Duration.optional(),
  /** Sizes by need id, in place of what the manifest asks. */
  storage: z.record(Name, Size).optional(),
  /** Volumes by need id that are cut in slices of this length, each with a key that is destroyed after the period. */
  slices: z.record(Name, Duration).optional(),
  /** Settings, checked against the package's config schema. */
  config: z.record(z.string(), z.unknown()).optional(),
  /** False: stays installed with its data, and is not started. */
  enabled: z.boolean().default(true),
});
export type SiteInstrument = z.infer<typeof SiteInstrument>;

/** How long data may be kept on this sensor: bounds for every instrument's period, and the platform's own. */
export const RetentionPolicy = z.strictObject({
  minimum: Duration.optional(),
  maximum: Duration.optional(),
  /** Of what the platform keeps itself, and of an instrument that has no period of its own. */
  platform: Duration.optional(),
});
export type RetentionPolicy = z.infer<typeof RetentionPolicy>;

export const Site = z.strictObject({
  apiVersion: z.literal("bulkhead/v1"),
  sensor: Name,
  policy: z.strictObject({ retention: RetentionPolicy.default({}) }).default({ retention: {} }),
  interfaces: z.record(Name, SiteInterface).default({}),
  instruments: z.record(Name, SiteInstrument),
  grants: z
    .strictObject({
      events: z
        .array(
          z.strictObject({
            from: Name,
            type: DottedName,
            to: Name,
            /** How far back its consumer begins when it is made; left out: with what comes from then on. */
            replay: z.union([z.literal("all"), Duration]).optional(),
          }),
        )
        .default([]),
      messages: z.array(z.strictObject({ from: Name, verb: DottedName, to: Name })).default([]),
      resources: z.array(z.strictObject({ from: Name, type: DottedName, to: Name })).default([]),
    })
    .default({ events: [], messages: [], resources: [] }),
  flows: z.array(z.strictObject({ from: Name, to: Name, why: z.string().min(1).max(300) })).default([]),
  fleet: z
    .strictObject({
      manage: z.boolean().default(false),
      events: z.record(Name, z.array(DottedName)).default({}),
      ui: z.record(Name, UiGrant).default({}),
    })
    .default({ manage: false, events: {}, ui: {} }),
});
export type Site = z.infer<typeof Site>;
