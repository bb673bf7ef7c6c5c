/**
 * What passes an instrument's port on a segment, and what was refused: counted by the kernel on the host's side, never
 * told by the instrument.
 */
import * as z from "zod";
import { Name } from "./name.ts";

/** One refused flow of the last hour. */
export const RefusedFlow = z.strictObject({
  direction: z.enum(["in", "out"]),
  protocol: z.string(),
  from: z.string(),
  to: z.string(),
  port: z.int(),
  packets: z.int(),
  /** Seconds since the last packet. */
  agoS: z.int(),
});
export type RefusedFlow = z.infer<typeof RefusedFlow>;

export const PortReport = z.strictObject({
  instrument: Name,
  /** By rule: `listen tcp/22`, `refused: not granted`; `direction` as the instrument sees it. */
  counts: z.array(
    z.strictObject({
      direction: z.enum(["in", "out"]),
      rule: z.string(),
      packets: z.int(),
      bytes: z.int(),
    }),
  ),
  /** The newest first. */
  refused: z.array(RefusedFlow),
});
export type PortReport = z.infer<typeof PortReport>;
export const NetworkReply = z.strictObject({ ports: z.array(PortReport) });

/** What one instrument has of a network: from the site, with the line that says so, and from the kernel. */
export const InstrumentNetworkStatus = z.strictObject({
  instrument: Name,
  kind: z.enum(["none", "mirror", "engine", "port", "nic"]),
  /** The segment, capture engine or device; null for none. */
  on: z.string().nullable(),
  /** The device of the host behind it. */
  device: z.string().nullable(),
  /** connected, given, waiting, broken, down; plain words for what is no port. */
  state: z.string(),
  addresses: z.array(z.string()),
  /** What may come in and go out, each with its line and its counts. */
  allowed: z.array(
    z.strictObject({
      direction: z.enum(["in", "out"]),
      what: z.string(),
      by: z.string(),
      packetsIn: z.int(),
      packetsOut: z.int(),
    }),
  ),
  /** Packets refused, by reason. */
  refusals: z.array(
    z.strictObject({ direction: z.enum(["in", "out"]), reason: z.string(), packets: z.int() }),
  ),
  lastRefused: z.array(RefusedFlow),
});
export type InstrumentNetworkStatus = z.infer<typeof InstrumentNetworkStatus>;
export const NetworkStatus = z.strictObject({ instruments: z.array(InstrumentNetworkStatus) });
export type NetworkStatus = z.infer<typeof NetworkStatus>;
