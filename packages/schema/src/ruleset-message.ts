/**
 * Messages by which a rule manager has an IDS try a rule set (`ruleset.check`) and take it
 * (`ruleset.apply`). Both name a delivered resource of type `ruleset.suricata`.
 *
 * Lines are those of the delivered file, from 1; which source a line came from, its maker knows.
 */
import * as z from "zod";

export const RULESET_TYPE = "ruleset.suricata";
export const RULESET_CHECK = "ruleset.check";
export const RULESET_APPLY = "ruleset.apply";
/** Findings told at most: a reply is one message. */
export const MOST_RULESET_FINDINGS = 200;

export const RulesetRequest = z.strictObject({
  name: z.string().min(1).max(64),
  version: z.string().min(1).max(128),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type RulesetRequest = z.infer<typeof RulesetRequest>;

const RulesetFinding = z.strictObject({
  line: z.int().min(1).nullable(),
  message: z.string().max(1000),
});
export type RulesetFinding = z.infer<typeof RulesetFinding>;

const Findings = z.array(RulesetFinding).max(MOST_RULESET_FINDINGS);

export const RulesetCheckReply = z.strictObject({
  ok: z.boolean(),
  rules: z.int().min(0),
  findings: Findings,
});
export type RulesetCheckReply = z.infer<typeof RulesetCheckReply>;

export const RulesetApplyReply = z.strictObject({
  outcome: z.enum(["applied", "refused"]),
  rules: z.int().min(0),
  findings: Findings,
});
export type RulesetApplyReply = z.infer<typeof RulesetApplyReply>;
