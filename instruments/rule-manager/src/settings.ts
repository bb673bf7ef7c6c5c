/** The operator's settings of the rule manager; config.schema.json says the same, and a test holds the two together. */
import { Name } from "@bulkhead/schema";
import * as z from "zod";

const SiteFile = z.string().max(200).meta({ format: "site-file" });
const Lines = z.array(z.string().max(8_000)).max(20_000);

const Source = z.strictObject({
  feed: z
    .string()
    .regex(/^[a-z0-9]+([.-][a-z0-9]+)*$/)
    .max(64)
    .describe("Name of the feed, as its publisher calls it"),
  group: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]*\.rules$/)
    .max(100)
    .optional()
    .describe("What group: calls a feed that is a single file; the feed's name with .rules where left out"),
  pass: z
    .boolean()
    .default(false)
    .describe("Take its pass rules, which switch detection off for what they match"),
});

const Override = z.strictObject({
  ids: Name.describe("The instrument for which this counts beside what counts for all"),
  enable: Lines.default([]),
  disable: Lines.default([]),
  drop: Lines.default([]),
  modify: Lines.default([]),
});

export const Settings = z.strictObject({
  sources: z
    .array(Source)
    .max(32)
    .optional()
    .describe("Feeds in the order of their precedence; all that are granted where left out"),
  localRules: z.array(SiteFile).max(100).default([]).describe("Rule files beside the site; they come first"),
  enable: Lines.default([]).describe("Lines of suricata-update's enable.conf"),
  disable: Lines.default([]).describe("Lines of suricata-update's disable.conf"),
  drop: Lines.default([]).describe("Lines of suricata-update's drop.conf"),
  modify: Lines.default([]).describe("Lines of suricata-update's modify.conf"),
  enableConf: SiteFile.optional().describe("suricata-update's enable.conf, beside the site"),
  disableConf: SiteFile.optional().describe("suricata-update's disable.conf, beside the site"),
  dropConf: SiteFile.optional().describe("suricata-update's drop.conf, beside the site"),
  modifyConf: SiteFile.optional().describe("suricata-update's modify.conf, beside the site"),
  ignore: z
    .array(z.string().max(200))
    .max(100)
    .default(["*deleted.rules"])
    .describe("Names of files in a feed that are left out"),
  thresholds: Lines.default([]).describe("Lines of Suricata's threshold.config"),
  maxShrink: z
    .number()
    .min(0)
    .max(1)
    .default(0.2)
    .describe("Share of the rules that may go away before an operator is asked"),
  maxUnparsable: z
    .number()
    .min(0)
    .max(1)
    .default(0.05)
    .describe("Share of a feed's lines that may be no rules"),
  autoApply: z.boolean().default(true).describe("Apply what every IDS passed, without being asked"),
  overrides: z.array(Override).max(64).default([]).describe("What counts for one IDS more"),
});
export type Settings = z.infer<typeof Settings>;
export type Override = z.infer<typeof Override>;
