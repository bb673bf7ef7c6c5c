/** The operator's settings of the echo honeypot; config.schema.json says the same, and a test holds the two together. */
import * as z from "zod";

export const Settings = z.strictObject({
  ports: z
    .array(z.int().min(1).max(65_535))
    .min(1)
    .max(32)
    .default([23])
    .describe("TCP ports to listen on; the site's listen must let them in"),
  keepBytes: z
    .int()
    .min(0)
    .max(4096)
    .default(256)
    .describe("How much of what came an event carries, in bytes"),
});
