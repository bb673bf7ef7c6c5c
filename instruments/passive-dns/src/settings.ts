/** Passive DNS takes no settings but its retention period, which comes with every configuration. */
import * as z from "zod";

export const Settings = z.strictObject({});
