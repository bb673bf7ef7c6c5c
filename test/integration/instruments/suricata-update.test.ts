/** Rule Manager beside the distribution's suricata-update, on the same inputs. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { buildSets, parseRuleFile, readFeed, Settings } from "@bulkhead/instrument-rule-manager";
import { type FeedFile, makeRuleFeed, runCommand, SuricataUpdate, type UpdateConf } from "@bulkhead/testkit";

const stack = new AsyncDisposableStack();
let dir: string;
let update: SuricataUpdate;

before(async () => {
  dir = await mkdtemp(join(tmpdir(), "bh-test-update-"));
  stack.defer(() => rm(dir, { recursive: true, force: true }));
  update = await SuricataUpdate.unpack(dir);
});
after(() => stack.disposeAsync());

async function pack(name: string, files: readonly FeedFile[]): Promise<string> {
  const tree = join(dir, `${name}.d`);
  for (const file of files) {
    await mkdir(dirname(join(tree, file.name)), { recursive: true });
    await writeFile(join(tree, file.name), file.text);
  }
  const archive = join(dir, `${name}.tar.gz`);
  await runCommand("tar", ["-C", tree, "-czf", archive, ...files.map((file) => file.name)]);
  return archive;
}

interface Inputs {
  readonly files: readonly FeedFile[];
  readonly local?: string;
  readonly conf?: UpdateConf;
}

let inputs = 0;

/** The enabled rules of both, by id. */
async function both({ files, local = "", conf = {} }: Inputs) {
  const archive = await pack(`feed-${(inputs += 1)}`, files);
  const localFile = join(dir, `local-${inputs}.rules`);
  await writeFile(localFile, local);
  const theirs = await update.combine([archive], [localFile], conf);
  const feed = await readFeed({ path: archive, source: "et", file: "et.rules" });
  assert.ok(feed.kind === "rules");
  const parsed = [{ source: "local", file: "local.rules", text: local }, ...feed.files].map(parseRuleFile);
  const text = (kind: keyof UpdateConf) => [{ file: `${kind}.conf`, text: conf[kind] ?? "" }];
  const settings = Settings.parse({ sources: [{ feed: "et", pass: true }] });
  const texts = {
    enable: text("enable"),
    disable: text("disable"),
    drop: text("drop"),
    modify: text("modify"),
  };
  const [ours] = buildSets(settings, texts, parsed);
  assert.ok(ours !== undefined);
  return { ours: enabledRules(ours.text), theirs: enabledRules(theirs.text), findings: ours.findings };
}

function enabledRules(text: string): Readonly<Record<string, string>> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return Object.fromEntries(lines.map((line) => [/\bsid: *(\d+);/.exec(line)?.[1] ?? "", line]));
}

test("a large feed without settings: the same rules, revisions and text", async () => {
  const { ours, theirs } = await both({ files: makeRuleFeed(4_000) });
  assert.ok(Object.keys(theirs).length > 2_500);
  assert.deepEqual(ours, theirs);
});

test("its own configuration files: the same rules, with the same changes", async () => {
  const conf: UpdateConf = {
    disable: `# suricata-update - disable.conf
1:2000001, 2000002
2000009 # a remark
re:Observed [a-f]
group:emerging-policy
group:emerging-s*.rules
emerging-web-server.rules
`,
    enable: `2000001
re:trojan-activity
group:emerging-malware.rules
filename:rules/*exploit*
`,
    drop: `re:attempted-admin
2000040
`,
    modify: `# suricata-update - modify.conf
2000000 "seconds \\d+" "seconds 3600"
re:classtype:misc-activity "(alert)(.*)" "drop\\2"
re:Web_Server ^alert reject
re:^reject "signature_severity Major" "signature_severity Blocked"
2000017,2000025 "created_at (?P<year>\\d{4})_\\d\\d" "created_at \\g<year>_12"
modifysid * "^drop(.*)signature_severity Major(.*)" | "alert\${1}signature_severity Critical\${2}"
metadata-add re:"ET DNS" "evebox-action" "archive"
metadata-add 2000033 "state" "kept"
`,
  };
  const { ours, theirs, findings } = await both({ files: makeRuleFeed(4_000, 7), conf });
  assert.ok(Object.values(theirs).some((line) => line.startsWith("drop")));
  assert.ok(Object.values(theirs).some((line) => line.includes("evebox-action archive;)")));
  assert.deepEqual(ours, theirs);
  assert.deepEqual(findings, []);
});

test("odd lines, several lines, rules that stand twice, flowbits in a chain, local rules", async () => {
  const rules = `# a remark (with parentheses)
alert tcp any any -> any any \\
    (msg:"over several \\
lines"; sid:1; rev:1;)
#  alert tcp any any -> any any (msg:"first setter"; flowbits:isset,b; flowbits:set,a; sid:2; rev:1;)
# alert tcp any any -> any any (msg:"second setter"; flowbits:set,b; flowbits:noalert; sid:3; rev:1;)
alert tcp any any -> any any (msg:"checks"; flowbits:isset,a; sid:4; rev:1;)
# alert tcp any any -> any any (msg:"unused setter"; flowbits:set,c; sid:5; rev:1;)
this is no rule
alert tcp any any -> any (msg:"no port"; sid:6; rev:1;)
alert tcp any any -> any any (msg:"no sid"; rev:1;)
alert tcp any any -> any any (msg:"twice"; sid:7; rev:2;)
alert tcp any any -> any any (msg:"twice again"; sid:7; rev:3;)
alert tcp any any -> any any (msg:"twice, older"; sid:7; rev:1;)
alert tcp any any -> any any (msg:"feed's"; sid:8; rev:4;)
alert tcp any any -> any any (msg:"feed's, newer"; sid:9; rev:4;)
pass tcp any any -> any any (msg:"pass"; sid:10; rev:1;)
alert tcp any any -> any any (msg:"with a list"; dataset:isset,bad,type string,load bad.lst; sid:11; rev:1;)
`;
  const local = `alert tcp any any -> any any (msg:"ours"; sid:8; rev:4;)
alert tcp any any -> any any (msg:"ours, older"; sid:9; rev:3;)
alert tcp any any -> any any (msg:"escaped \\; and \\"quoted\\""; content:"sid:1\\;"; sid:20; rev:1;)\r
`;
  const deleted = 'alert tcp any any -> any any (msg:"gone"; sid:30; rev:1;)\n';
  const files = [
    { name: "rules/a.rules", text: rules },
    { name: "rules/a-deleted.rules", text: deleted },
    { name: "rules/notes.txt", text: deleted },
  ];
  const { ours, theirs, findings } = await both({ files, local });
  assert.deepEqual(Object.keys(ours), ["1", "2", "3", "4", "7", "8", "9", "10", "20"]);
  assert.deepEqual(ours, theirs);
  assert.deepEqual(
    findings.map(({ place }) => place?.line),
    [9, 10, 11, 18],
  );
});
