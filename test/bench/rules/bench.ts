/**
 * Bench of the rules: 50,000 of them in one feed through Rule Manager's code and through suricata-update, in
 * turn, each as a process of its own that reads the same archive and writes its rule file.
 */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { bundle } from "@bulkhead/images";
import { makeRuleFeed, runCommand, SuricataUpdate } from "@bulkhead/testkit";
import type { BenchOutcome } from "../benches.ts";
import { type Measurement, resultOf } from "../result.ts";

export const RULES_PARTS = ["plain", "policy"] as const;
export type RulesPart = (typeof RULES_PARTS)[number];

export interface RulesBenchOptions {
  readonly quick: boolean;
  readonly parts: readonly RulesPart[];
  readonly say: (words: string) => void;
  readonly signal: AbortSignal;
}

const RULES = 50_000;
/** suricata-update's files, as an operator of some experience has them. */
const CONF = {
  disable: "group:emerging-info\nre:policy-violation\n2000001, 2000002, 2000003\n",
  enable: "re:trojan-activity\ngroup:emerging-malware.rules\n",
  drop: "re:attempted-admin\n",
  modify: '2000000 "seconds \\\\d+" "seconds 3600"\nre:classtype:misc-activity "count 1" "count 5"\n',
};
const NOTHING = { disable: "", enable: "", drop: "", modify: "" };

export async function benchRules({ quick, parts, say, signal }: RulesBenchOptions): Promise<BenchOutcome> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bh-bench-rules-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  const feed = await packFeed(dir);
  const update = await SuricataUpdate.unpack(dir);
  const program = join(dir, "combine.cjs");
  const { code } = await bundle(join(import.meta.dirname, "combine-process.ts"), { format: "cjs" });
  await writeFile(program, code);
  say(`${RULES} rules beside suricata-update ${update.version}`);
  const rounds = quick ? 3 : 9;
  const results = [];
  for (const part of parts) {
    const conf = part === "plain" ? NOTHING : CONF;
    const ours: number[] = [];
    const theirs: number[] = [];
    for (let round = 0; round < rounds && !signal.aborted; round += 1) {
      const own = async () => {
        const beganMs = performance.now();
        const out = join(dir, "ours.rules");
        await runCommand(process.execPath, [program, feed, out, JSON.stringify(conf)], {
          timeoutMs: 600_000,
        });
        ours.push(performance.now() - beganMs);
        return enabledCount(await readFile(out, "utf8"));
      };
      const other = async () => {
        const { text, durationMs } = await update.combine([feed], [], conf);
        theirs.push(durationMs);
        return enabledCount(text);
      };
      // Each round begins with the other one.
      const counts = round % 2 === 0 ? [await own(), await other()] : [await other(), await own()];
      assert.equal(counts[0], counts[1], "both enable the same number of rules");
      say(`${part}: round ${round + 1} of ${rounds}, ${counts[0]} enabled`);
    }
    if (ours.length > 0) results.push(resultOf(measurement(part, ours, theirs)));
  }
  return { results, failures: [] };
}

function measurement(part: RulesPart, ours: readonly number[], theirs: readonly number[]): Measurement {
  return {
    id: `rules.${part}`,
    unit: "ms",
    samples: ours,
    beside: { "suricata-update": theirs },
    goals: [
      {
        on: "suricata-update",
        op: "<=",
        value: 0.5,
        note: "half the time of suricata-update",
        heldBack: "unpacking and start of the process, which both pay",
      },
    ],
  };
}

async function packFeed(dir: string): Promise<string> {
  const files = makeRuleFeed(RULES);
  const tree = join(dir, "feed");
  for (const { name, text } of files) {
    await mkdir(dirname(join(tree, name)), { recursive: true });
    await writeFile(join(tree, name), text);
  }
  const archive = join(dir, "feed.tar.gz");
  await runCommand("tar", ["-C", tree, "-czf", archive, ...files.map(({ name }) => name)]);
  return archive;
}

function enabledCount(text: string): number {
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#")).length;
}
