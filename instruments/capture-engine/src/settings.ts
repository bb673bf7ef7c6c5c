/** The operator's settings of the capture engine; config.schema.json says the same, and a test holds the two together. */
import * as z from "zod";

export const Settings = z.strictObject({
  intervalMs: z
    .int()
    .min(1_000)
    .max(3_600_000)
    .default(10_000)
    .describe("How often counters are emitted, in milliseconds"),
});
