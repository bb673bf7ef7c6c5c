/** The operator's settings of hello; config.schema.json says the same, and a test holds the two together. */
import * as z from "zod";

export const Settings = z.strictObject({
  greeting: z.string().min(1).max(200).default("hello").describe("What to say"),
  intervalMs: z.int().min(100).max(3_600_000).default(10_000).describe("How often, in milliseconds"),
});
export type Settings = z.infer<typeof Settings>;
