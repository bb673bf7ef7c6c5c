import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { combine, type RuleSet } from "./combine.ts";
import { diffSets } from "./diff.ts";
import { parseRuleFile } from "./parse-file.ts";
import { parsePolicy, type PolicyTexts } from "./policy.ts";
import { renderSet } from "./render.ts";
import { renderRule } from "./rule.ts";

type Lines = Partial<Record<"enable" | "disable" | "drop" | "modify" | "ignore", readonly string[]>>;

function build(files: Readonly<Record<string, string>>, lines: Lines = {}): RuleSet {
  const texts = (kind: keyof PolicyTexts) => [{ file: `${kind}.conf`, text: (lines[kind] ?? []).join("\n") }];
  const parsed = Object.entries(files).map(([path, text]) => {
    const [source = "", file = ""] = path.split(":");
    return parseRuleFile({ source, file, text });
  });
  const policy = parsePolicy({
    enable: texts("enable"),
    disable: texts("disable"),
    drop: texts("drop"),
    modify: texts("modify"),
    ignore: lines.ignore ?? [],
  });
  return combine(parsed, { policy, mayPass: (source) => source === "local" });
}

function rule(sid: number, options = "", rev = 1): string {
  return `alert tcp any any -> any any (msg:"rule ${sid}"; ${options}sid:${sid}; rev:${rev};)\n`;
}

function shown({ rules }: RuleSet): readonly string[] {
  return rules.map(
    ({ gid, sid, rev, enabled, action }) => `${enabled ? "" : "#"}${action} ${gid}:${sid}:${rev}`,
  );
}

test("of one id the higher revision counts, of equal ones the source that is named first", () => {
  const set = build({
    "local:z.rules": rule(1, 'content:"local"; '),
    "et:b.rules": rule(1, 'content:"feed"; ') + rule(2, "", 1) + rule(3, "", 5),
    "et:a.rules": rule(3, "", 4) + rule(2, "", 7),
  });
  assert.deepEqual(shown(set), ["alert 1:1:1", "alert 1:2:7", "alert 1:3:5"]);
  assert.match(set.rules[0]?.text ?? "", /local/);
  assert.equal(set.counts.duplicates, 3);
});

test("rules are picked by id, file, pattern and metadata", () => {
  const files = {
    "et:rules/emerging-dns.rules": rule(1, "metadata:deployment Perimeter, created 2020; ") + rule(2),
    "et:rules/emerging-web.rules": rule(3, "classtype:trojan-activity; ") + rule(4, "gid:3; "),
    "et:rules/gone-deleted.rules": rule(9),
  };
  const disabled = (...disable: readonly string[]) =>
    build(files, { disable, ignore: ["*deleted.rules"] })
      .rules.filter(({ enabled }) => !enabled)
      .map(({ sid }) => sid);
  assert.deepEqual(disabled("1, 3:4 # a remark", "# 2"), [1, 4]);
  assert.deepEqual(disabled("4"), [], "gid is 1 where it is left out");
  assert.deepEqual(disabled("group:emerging-dns"), [1, 2]);
  assert.deepEqual(disabled("group:emerging-d?s.rules"), [1, 2]);
  assert.deepEqual(disabled("emerging-[vw]eb.rules"), [3, 4]);
  assert.deepEqual(disabled("filename:rules/*web*"), [3, 4]);
  assert.deepEqual(disabled("re:CLASSTYPE:trojan"), [3]);
  assert.deepEqual(disabled("metadata: Deployment perimeter"), [1]);
  assert.deepEqual(disabled("metadata: created 2020"), [1]);
  assert.deepEqual(disabled("*"), [1, 2, 3, 4]);
});

test("enable comes after disable, drop spares rules that never alert, modify works on the line", () => {
  const set = build(
    {
      "et:a.rules":
        rule(1) + rule(2, "noalert; ") + `# ${rule(3)}` + rule(4, "threshold:type limit, seconds 60; "),
    },
    {
      disable: ["*"],
      enable: ["1,2,4"],
      drop: ["*"],
      modify: [
        '4 "seconds \\d+" "seconds 3600"',
        'modifysid 4 "^drop(.*)(msg:)" | "reject${1}${2}"',
        'metadata-add re:"rule 1" "state" "kept"',
        '3 "^# drop" "alert"',
      ],
    },
  );
  assert.deepEqual(shown(set), ["drop 1:1:1", "alert 1:2:1", "alert 1:3:1", "reject 1:4:1"]);
  assert.match(set.rules[3]?.text ?? "", /^reject .*seconds 3600;/);
  assert.match(set.rules[0]?.text ?? "", /; metadata: state kept;\)$/);
});

test("a change that makes no rule, or one of another id, is told and not made", () => {
  const set = build(
    { "et:a.rules": rule(1) + rule(2) + rule(3) },
    { modify: ['1 "sid:1;" "sid:10;"', '2 "^alert" "allow"', '3 "rule" "\\n"', '3 "(r)ule" "\\2"'] },
  );
  assert.deepEqual(shown(set), ["alert 1:1:1", "alert 1:2:1", "alert 1:3:1"]);
  assert.deepEqual(
    set.findings.map(({ place, message }) => [place?.line, message]),
    [
      [1, "its change would give it another id"],
      [2, "its change makes no rule of it"],
      [3, "its change would make it more than one line"],
      [3, "the pattern has no group 2"],
    ],
  );
});

test("lines that cannot be read are findings by file and line, and the others count", () => {
  const set = build(
    { "et:a.rules": rule(1) },
    { disable: ["# remark", "re:(", "nonsense", "1"], modify: ['1 "a"', '1 "(?>a)" "b"', '1 "open'] },
  );
  assert.deepEqual(shown(set), ["#alert 1:1:1"]);
  assert.deepEqual(
    set.findings.map(({ place }) => `${place?.file}:${place?.line}`),
    ["disable.conf:2", "disable.conf:3", "modify.conf:1", "modify.conf:2", "modify.conf:3"],
  );
});

test("rules that set a bit which an enabled rule checks come on, quietly, and theirs in turn", () => {
  const set = build(
    {
      "et:a.rules":
        rule(1, "flowbits:isset,a|b; ") +
        rule(2, "flowbits:set,a; flowbits: isset, c; ") +
        rule(3, "flowbits:set, c; ") +
        rule(4, "flowbits:set,b; ") +
        rule(5, "flowbits:set,unused; "),
    },
    { disable: ["2,3,4,5"] },
  );
  assert.deepEqual(
    set.rules.map(({ sid, enabled, quiet }) => [sid, enabled, quiet]),
    [
      [1, true, false],
      [2, true, true],
      [3, true, true],
      [4, true, true],
      [5, false, false],
    ],
  );
  assert.match(set.rules[1]?.text ?? "", / noalert; sid:2;/);
  assert.equal(set.counts.forFlowbits, 3);
});

test("what no sensor can load, and pass rules of a feed, stay off and are told", () => {
  const pass = 'pass ip any any -> any any (msg:"p"; flowbits:set,a; sid:5;)\n';
  const set = build({
    "et:a.rules":
      rule(1, "filemd5:x; ") +
      rule(2).replace("any any ->", "$NOBODY any ->") +
      pass +
      rule(6, "flowbits:isset,a; "),
    "local:l.rules": 'pass ip any any -> any any (msg:"p"; sid:7;)\n',
  });
  assert.deepEqual(shown(set), ["#alert 1:1:1", "#alert 1:2:1", "#pass 1:5:0", "alert 1:6:1", "pass 1:7:0"]);
  assert.deepEqual(
    set.findings.map(({ message }) => message),
    [
      "is left out: filemd5 needs a file that a rule set does not bring along",
      "is left out: the sensor has no variable $NOBODY",
      "is left out: et may not bring pass rules, which switch detection off",
    ],
  );
});

test("equal input gives equal bytes, whatever the order of files and of rules in them", () => {
  const rules = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 20 });
  fc.assert(
    fc.property(rules, rules, fc.infiniteStream(fc.nat()), (first, second, random) => {
      const shuffled = (sids: readonly number[]) =>
        sids
          .map((sid) => ({ sid, at: random.next().value }))
          .toSorted((a, b) => a.at - b.at)
          .map(({ sid }) => rule(sid, "", sid % 3))
          .join("");
      const bytes = (a: string, b: string, turned: boolean) => {
        const files = turned ? { "et:b.rules": b, "et:a.rules": a } : { "et:a.rules": a, "et:b.rules": b };
        return renderSet(build(files, { disable: ["re:rule 1"] }).rules, []).text;
      };
      const plain = (sids: readonly number[]) => sids.map((sid) => rule(sid, "", sid % 3)).join("");
      assert.equal(bytes(plain(first), plain(second), false), bytes(shuffled(first), shuffled(second), true));
    }),
  );
});

test("a set built from what was rendered is the same set, and differs in nothing", () => {
  const before = build({ "et:a.rules": rule(1) + rule(2) + rule(3) });
  const { text } = renderSet(before.rules, []);
  const again = build({ "et:a.rules": text });
  assert.deepEqual(again.rules.map(renderRule), before.rules.map(renderRule));
  assert.deepEqual(diffSets(text, text), { added: [], removed: [], changed: [] });
  const after = renderSet(build({ "et:a.rules": rule(2, "", 2) + rule(3) + rule(4) }).rules, []).text;
  const ids = (changes: readonly { sid: number; revBefore: number | null; revAfter: number | null }[]) =>
    changes.map(({ sid, revBefore, revAfter }) => [sid, revBefore, revAfter]);
  const diff = diffSets(text, after);
  assert.deepEqual(ids(diff.added), [[4, null, 1]]);
  assert.deepEqual(ids(diff.removed), [[1, 1, null]]);
  assert.deepEqual(ids(diff.changed), [[2, 1, 2]]);
});
