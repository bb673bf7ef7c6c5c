/** The operator's settings of fetch-probe; config.schema.json says the same, and a test holds the two together. */
import * as z from "zod";

export const Settings = z.strictObject({
  urls: z.array(z.url()).max(50).default([]).describe("What to fetch"),
  ca: z.string().max(100_000).default("").describe("Certificates (PEM) to trust in place of the usual ones"),
  intervalMs: z.int().min(1000).max(86_400_000).default(60_000).describe("How often, in milliseconds"),
});
