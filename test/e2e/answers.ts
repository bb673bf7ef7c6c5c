/** What the command line answers, where the schema package has no type for it. */
import * as z from "zod";

/** With --json, of anything that could not be done. */
export const Failure = z.strictObject({
  ok: z.literal(false),
  error: z.strictObject({ code: z.string(), message: z.string(), advice: z.string().min(1) }),
});

/** Passive DNS Common Output Format, draft-dulaunoy-dnsop-passive-dns-cof, section 3. */
export const DnsRecord = z.looseObject({
  rrname: z.string(),
  rrtype: z.string(),
  rdata: z.union([z.string(), z.array(z.string())]),
  time_first: z.int(),
  time_last: z.int(),
  count: z.int().min(1),
});
