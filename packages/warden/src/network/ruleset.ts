/**
 * Rules in the kernel: set in one transaction, read back, and told apart by a digest of what was read.
 *
 * Invariants: the digest is of what the kernel holds (chains, hooks, policies, rules and sets), not of what was asked
 * for, and leaves out what changes by itself (handles, counters, elements of dynamic sets); a table that is missing
 * has no digest.
 */
import { createHash } from "node:crypto";
import type { RefusedFlow } from "@bulkhead/schema";
import * as z from "zod";
import type { NetworkNamespace } from "../datapath/namespace.ts";
import { isWardenError } from "../error.ts";
import { REFUSED_TIMEOUT_S } from "./refused-rules.ts";

/** One rule with a counter, in order. `comment` is what it was rendered with. */
export interface RuleCount {
  readonly chain: string;
  readonly comment: string;
  readonly packets: number;
  readonly bytes: number;
}

export interface Table {
  readonly family: "netdev" | "inet";
  readonly name: string;
}

/** @throws WardenError `command-failed` with nft's own message; then nothing was changed */
export async function setRules(namespace: NetworkNamespace, text: string): Promise<void> {
  await namespace.run(["nft", "-f", "-"], { input: text });
}

export async function removeTable(namespace: NetworkNamespace, { family, name }: Table): Promise<void> {
  // Adding what is there is no error, and makes the removal idempotent.
  const text = `table ${family} ${name}\ndelete table ${family} ${name}\n`;
  await namespace.run(["nft", "-f", "-"], { input: text });
}

/** 16 hex digits; null where there is no such table. */
export async function tableDigest(namespace: NetworkNamespace, table: Table): Promise<string | null> {
  const entries = await listTable(namespace, table);
  if (entries === null) return null;
  const kept = entries.map((entry) => JSON.stringify(entry, withoutChanging));
  return createHash("sha256").update(kept.join("\n")).digest("hex").slice(0, 16);
}

export async function tableCounts(
  namespace: NetworkNamespace,
  table: Table,
): Promise<{ readonly rules: readonly RuleCount[]; readonly refused: readonly RefusedFlow[] }> {
  const entries = (await listTable(namespace, table)) ?? [];
  return {
    rules: entries.flatMap((entry) => {
      const rule = RuleEntry.safeParse(entry);
      if (!rule.success) return [];
      const { chain, comment = "", expr } = rule.data.rule;
      const counter = expr.flatMap((e) => CounterExpression.safeParse(e).data ?? [])[0]?.counter;
      return counter === undefined ? [] : [{ chain, comment, ...counter }];
    }),
    refused: entries.flatMap((entry) => {
      const set = SetEntry.safeParse(entry);
      const direction = /^refused_(?<direction>in|out)[46]$/.exec(set.data?.set.name ?? "")?.groups;
      return (set.data?.set.elem ?? []).flatMap((item): readonly RefusedFlow[] => {
        const element = Element.safeParse(item);
        if (!element.success || direction === undefined) return [];
        const { val, expires, counter } = element.data.elem;
        const [protocol, from, to, port] = val.concat;
        return [
          {
            direction: direction["direction"] === "in" ? "in" : "out",
            protocol: String(protocol),
            from,
            to,
            port,
            packets: counter?.packets ?? 0,
            agoS: Math.max(0, REFUSED_TIMEOUT_S - (expires ?? 0)),
          },
        ];
      });
    }),
  };
}

async function listTable(
  namespace: NetworkNamespace,
  { family, name }: Table,
): Promise<readonly unknown[] | null> {
  try {
    const { stdout } = await namespace.run(["nft", "-j", "list", "table", family, name]);
    return Listing.parse(JSON.parse(stdout)).nftables;
  } catch (error) {
    if (isWardenError(error, "command-failed") && /No such file or directory/.test(error.message))
      return null;
    throw error;
  }
}

/** For JSON.stringify: handles differ at each load, counters and elements with traffic, and metainfo with nft. */
function withoutChanging(key: string, value: unknown): unknown {
  return ["handle", "metainfo", "counter", "elem"].includes(key) ? undefined : value;
}

const Listing = z.object({ nftables: z.array(z.unknown()) });
const RuleEntry = z.object({
  rule: z.object({ chain: z.string(), comment: z.string().optional(), expr: z.array(z.unknown()) }),
});
const CounterExpression = z.object({ counter: z.object({ packets: z.number(), bytes: z.number() }) });
const SetEntry = z.object({ set: z.object({ name: z.string(), elem: z.array(z.unknown()).default([]) }) });
const Element = z.object({
  elem: z.object({
    val: z.object({
      concat: z.tuple([z.union([z.string(), z.number()]), z.string(), z.string(), z.number()]),
    }),
    expires: z.number().optional(),
    counter: z.object({ packets: z.number() }).optional(),
  }),
});
