/** The operator's settings of Suricata; config.schema.json says the same, and a test holds the two together. */
import * as z from "zod";
import { DEFAULT_EVE_TYPES, EVE_TYPES } from "./eve-types.ts";

const Address = z
  .string()
  .regex(
    /^!?([0-9]{1,3}(\.[0-9]{1,3}){3}(\/[0-9]{1,2})?|[0-9A-Fa-f]{0,4}(:[0-9A-Fa-f]{0,4}){2,7}(\/[0-9]{1,3})?)$/,
  );
const HOME = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

const Memory = z
  .strictObject({
    ringPackets: z
      .int()
      .min(1_024)
      .max(262_144)
      .default(4_096)
      .describe("Packets of 1.5 kB that the capture ring holds while the detection is busy"),
    flowMiB: z.int().min(8).max(16_384).default(32).describe("Flow table"),
    streamMiB: z.int().min(8).max(16_384).default(32).describe("TCP sessions"),
    reassemblyMiB: z.int().min(16).max(65_536).default(64).describe("TCP data being reassembled"),
  })
  .describe("What Suricata may use; the container's limit holds in any case");

export const Settings = z.strictObject({
  homeNet: z
    .array(Address)
    .min(1)
    .max(1_000)
    .default(HOME)
    .describe("HOME_NET: networks to be protected; ! excludes"),
  externalNet: z
    .array(Address)
    .min(1)
    .max(1_000)
    .optional()
    .describe("EXTERNAL_NET: everything outside HOME_NET where left out"),
  eveTypes: z
    .array(z.enum(EVE_TYPES))
    .min(1)
    .default([...DEFAULT_EVE_TYPES])
    .describe("EVE event types to be written"),
  communityId: z.boolean().default(true).describe("Put a Community ID into each record"),
  memory: Memory.prefault({}),
  distributionRules: z
    .boolean()
    .default(true)
    .describe("Load the rules that come with Suricata (protocol events)"),
  managedRules: z
    .boolean()
    .default(true)
    .describe("Take rules of a rule manager that the site lets send them"),
  ruleFiles: z
    .array(z.string().max(200).meta({ format: "site-file" }))
    .max(100)
    .default([])
    .describe("Rule files beside the site"),
});
export type Settings = z.infer<typeof Settings>;
