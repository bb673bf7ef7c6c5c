import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRuleFile } from "./parse-file.ts";
import { renderSet, placeOf } from "./render.ts";
import { renderRule, type Rule } from "./rule.ts";

function parse(text: string) {
  return parseRuleFile({ source: "feed", file: "a.rules", text });
}

function one(text: string): Rule {
  const { rules, findings } = parse(text);
  assert.deepEqual(findings, []);
  assert.equal(rules.length, 1);
  return rules[0] ?? assert.fail();
}

test("a rule's parts: header, ids, message, classtype, metadata, flowbits, variables", () => {
  const rule = one(
    'drop tcp [$HOME_NET,!10.0.0.1] any -> $EXTERNAL_NET [$HTTP_PORTS,8080] (msg:"a \\"b\\"\\; c"; content:"x\\;sid:9\\;"; ' +
      "flowbits:set,ET.one; flowbits:isset,ET.two; metadata:affected Linux, deployment perimeter; metadata: a b; " +
      "classtype:trojan-activity; gid:3; sid:7; rev:2;)",
  );
  assert.deepEqual(
    { ...rule, text: "", place: null },
    {
      gid: 3,
      sid: 7,
      rev: 2,
      enabled: true,
      action: "drop",
      protocol: "tcp",
      addressVariables: ["HOME_NET", "EXTERNAL_NET"],
      portVariables: ["HTTP_PORTS"],
      msg: 'a \\"b\\"\\; c',
      classtype: "trojan-activity",
      metadata: ["affected Linux", "deployment perimeter", "a b"],
      flowbits: ["set,ET.one", "isset,ET.two"],
      quiet: false,
      needsFile: null,
      text: "",
      place: null,
    },
  );
});

test("disabled rules are told from remarks, and remarks from bad lines", () => {
  const { rules, findings, cut } = parse(
    [
      "# a remark (with parentheses)",
      '#alert tcp any any -> any any (msg:"off"; sid:1;)',
      "##  # alert tcp any any -> any any (sid:2;)",
      "",
      "alert tcp any any -> any any (sid:3;)",
      "alert tcp any any -> any (sid:4;)",
      "allow tcp any any -> any any (sid:5;)",
      "alert tcp any any -> any any (sid:6)",
      "alert tcp any any -> any any (rev:6;)",
      "alert tcp any any -> any any (sid:seven;)",
      "alert tcp any any -> any any (sid:8;) # behind",
      "nonsense",
      'alert tcp any any -> any any (msg:"bell \u0007"; sid:9;)',
      `alert tcp any any -> any any (content:"${"x".repeat(8_200)}"; sid:10;)`,
    ].join("\n"),
  );
  assert.deepEqual(
    rules.map(({ sid, enabled }) => [sid, enabled]),
    [
      [1, false],
      [2, false],
      [3, true],
    ],
  );
  assert.deepEqual(
    findings.map(({ place, message }) => [place?.line, message.replace(/:.*/, "")]),
    [
      [6, "its header is not of the form"],
      [7, "begins with no action of Suricata"],
      [8, "its last option has no semicolon"],
      [9, "has no sid"],
      [10, "its sid is no number"],
      [11, "does not end with a parenthesis"],
      [12, "is no rule"],
      [13, "holds control characters, or bytes that are no UTF-8"],
      [14, "is longer than Suricata takes (8191 characters)"],
    ],
  );
  assert.equal(cut, true, "the last line is no whole rule");
});

test("rules over several lines keep the line they begin on; a remark swallows none", () => {
  const { rules, findings } = parse(
    '# see C:\\rules\\\nalert tcp any any \\\n  -> any any \\  \r\n (msg:"m"; \\\n sid:1;)\r\nalert ip any any -> any any (sid:2;)\n',
  );
  assert.deepEqual(findings, []);
  assert.deepEqual(
    rules.map(({ sid, place }) => [sid, place.line]),
    [
      [1, 2],
      [2, 6],
    ],
  );
  assert.ok(!rules.some(({ text }) => /[\r\n\\]/.test(text)));
});

test("rules that need files of their own are known", () => {
  const needs = (option: string) => one(`alert tcp any any -> any any (${option}; sid:1;)`).needsFile;
  assert.equal(needs("filemd5:list.md5"), "filemd5");
  assert.equal(needs("lua:a.lua"), "lua");
  assert.equal(needs("dataset:isset,bad,type string,load bad.lst"), "dataset");
  assert.equal(needs("dataset:set,seen,type string,state /data/x.lst"), "dataset");
  assert.equal(needs("dataset:isset,seen,type string"), null);
});

const word = fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/);
/** Text as an option's value may hold it: semicolons and quotes escaped. */
const quoted = fc
  .string({ unit: "grapheme-ascii", maxLength: 30 })
  .map((text) => `"${text.replaceAll(/["\\;]/g, String.raw`\$&`)}"`);
const option = fc.oneof(
  quoted.map((text) => `content:${text}`),
  fc.tuple(word, word).map(([key, value]) => `metadata:${key} ${value}`),
  word.map((bit) => `flowbits:set,${bit}`),
  fc.constantFrom("nocase", "http.uri", "flow:established,to_server", 'pcre:"/a\\;b(c|d)/R"'),
);
const ruleLine = fc
  .record({
    enabled: fc.boolean(),
    action: fc.constantFrom("alert", "drop", "pass", "reject"),
    address: fc.constantFrom("any", "$HOME_NET", "[10.0.0.0/8, !10.1.0.0/16]", "[$A,[$B,1.2.3.4]]"),
    port: fc.constantFrom("any", "$HTTP_PORTS", "[80,443]", "1024:"),
    direction: fc.constantFrom("->", "<>"),
    options: fc.array(option, { maxLength: 6 }),
    sid: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
    rev: fc.integer({ min: 0, max: 1_000 }),
  })
  .map(({ enabled, action, address, port, direction, options, sid, rev }) => {
    const text = [...options, `sid:${sid}`, `rev:${rev}`].map((each) => `${each};`).join(" ");
    const line = `${action} tcp ${address} ${port} ${direction} any any (${text})`;
    return { line: enabled ? line : `# ${line}`, enabled, action, sid, rev, options };
  });

test("what is parsed renders to what was written, and parses to the same again", () => {
  fc.assert(
    fc.property(ruleLine, ({ line, enabled, action, sid, rev, options }) => {
      const rule = one(line);
      assert.deepEqual([rule.enabled, rule.action, rule.sid, rule.rev], [enabled, action, sid, rev]);
      assert.equal(renderRule(rule), line);
      assert.deepEqual(one(renderRule(rule)), rule);
      const bits = options.filter((each) => each.startsWith("flowbits:"));
      assert.deepEqual(
        rule.flowbits,
        bits.map((each) => each.slice("flowbits:".length)),
      );
    }),
    { numRuns: 300 },
  );
});

test("a rendered set parses to the same rules, and each line leads back to its source", () => {
  fc.assert(
    fc.property(fc.array(ruleLine, { maxLength: 12 }), (lines) => {
      const { rules } = parse(lines.map(({ line }) => `# about it\n${line}\n`).join(""));
      const { text, places } = renderSet(rules, ["suppress gen_id 1, sig_id 1"]);
      const again = parse(text).rules;
      const enabled = rules.filter((rule) => rule.enabled);
      assert.deepEqual(
        again.map((rule) => rule.text),
        enabled.map((rule) => rule.text),
      );
      for (const rule of again) {
        assert.deepEqual(placeOf(places, rule.place.line), enabled[rule.place.line - 1]?.place);
      }
      assert.equal(placeOf(places, enabled.length + 1), null, "a threshold has no place");
    }),
  );
});
