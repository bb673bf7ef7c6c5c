/** Rule Manager's way from a feed's archive to the rule file, as a process: `FEED OUT CONF`, the last as JSON. */
import { writeFile } from "node:fs/promises";
import { buildSets, parseRuleFile, readFeed, Settings } from "@bulkhead/instrument-rule-manager";
import * as z from "zod";

const Conf = z.strictObject({
  enable: z.string(),
  disable: z.string(),
  drop: z.string(),
  modify: z.string(),
});

async function combine(path: string, out: string, json: string): Promise<void> {
  const conf = Conf.parse(JSON.parse(json));
  const feed = await readFeed({ path, source: "et", file: "et.rules" });
  if (feed.kind === "refused") throw new Error(feed.reason);
  const text = (kind: keyof typeof conf) => [{ file: `${kind}.conf`, text: conf[kind] }];
  const files = {
    enable: text("enable"),
    disable: text("disable"),
    drop: text("drop"),
    modify: text("modify"),
  };
  const [built] = buildSets(Settings.parse({}), files, feed.files.map(parseRuleFile));
  await writeFile(out, built?.text ?? "");
}

const [, , path = "", out = "", json = ""] = process.argv;
void combine(path, out, json);
