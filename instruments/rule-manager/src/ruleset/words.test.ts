/** The small readers of suricata-update's syntax: words, patterns, globs, thresholds. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { globPattern } from "./glob.ts";
import { parseRuleFile } from "./parse-file.ts";
import { pythonPattern, pythonReplacement, replaceAll } from "./python-pattern.ts";
import { splitShellWords } from "./shell-words.ts";
import { expandThresholds } from "./thresholds.ts";

test("words are split as shlex splits them", () => {
  assert.deepEqual(splitShellWords(String.raw`1:2 "a b\"c\d\\1" 'x "y" \' z\ z ""`), [
    "1:2",
    String.raw`a b"c\d\1`,
    String.raw`x "y" ` + "\\",
    "z z",
    "",
  ]);
  assert.deepEqual(splitShellWords('re:"two words"x'), ["re:two wordsx"]);
  assert.deepEqual(splitShellWords("  "), []);
  assert.equal(splitShellWords('a "b'), null);
  assert.equal(splitShellWords("a \\"), null);
});

test("patterns of Python mean the same", () => {
  assert.ok(pythonPattern("(?i)MALWARE", "").test("malware"));
  assert.ok(pythonPattern(String.raw`\Aa(?P<n>b)(?P=n)\Z`, "").test("abb"));
  assert.ok(pythonPattern("[]a]+", "").test("]"));
  assert.ok(pythonPattern("a{,2}b", "").test("aab"));
  assert.ok(pythonPattern("a(?#a remark)b", "").test("ab"));
  for (const pattern of ["(?>a)", "a++", "(a)?(?(1)b|c)", "(", "(?x)a b"]) {
    assert.throws(() => pythonPattern(pattern, ""), SyntaxError, pattern);
  }
});

test("replacements take groups by number and name, of Oinkmaster too", () => {
  const replace = (pattern: string, replacement: string, text: string) =>
    replaceAll(text, pythonPattern(pattern, "g"), pythonReplacement(replacement));
  assert.equal(
    replace("(a)(?P<last>b)?", String.raw`<\1\g<last>\g<2>\;>`, "ab a"),
    String.raw`<abb\;> <a\;>`,
  );
  assert.equal(
    replace("^drop(.*)noalert(.*)", "alert${1}noalert${2}", "drop 1 noalert 2"),
    "alert 1 noalert 2",
  );
  assert.equal(replace("a", "$& $1", "a"), "$& $1", "JavaScript's own signs mean nothing");
  assert.throws(() => pythonReplacement(String.raw`\q`), SyntaxError);
  assert.throws(() => replace("a", String.raw`\1`, "a"), SyntaxError);
});

test("globs are those of fnmatch", () => {
  assert.ok(globPattern("emerging-*").test("emerging-dns.rules"));
  assert.ok(globPattern("a[!bc]?").test("ad/"));
  assert.ok(!globPattern("a.c").test("abc"));
  assert.ok(globPattern("a[").test("a["));
});

test("thresholds are taken as they are, and a pattern stands for the ids that it matches", () => {
  const { rules } = parseRuleFile({
    source: "et",
    file: "a.rules",
    text: 'alert ip any any -> any any (msg:"noisy one"; sid:1;)\nalert ip any any -> any any (msg:"noisy two"; gid:3; sid:2;)\n# alert ip any any -> any any (msg:"noisy off"; sid:3;)\n',
  });
  const { lines, findings } = expandThresholds(
    [
      "# a remark",
      "suppress gen_id 1, sig_id 7, track by_src, ip 10.0.0.0/8",
      "threshold re:NOISY, type limit, track by_src, count 1, seconds 60",
      'suppress re:"noisy one"',
      "alert ip any any -> any any (sid:9;)",
      "suppress re:(",
    ],
    rules,
  );
  assert.deepEqual(lines, [
    "suppress gen_id 1, sig_id 7, track by_src, ip 10.0.0.0/8",
    "threshold gen_id 1, sig_id 1, type limit, track by_src, count 1, seconds 60",
    "threshold gen_id 3, sig_id 2, type limit, track by_src, count 1, seconds 60",
    "suppress gen_id 1, sig_id 1",
  ]);
  assert.deepEqual(
    findings.map(({ place }) => place?.line),
    [5, 6],
  );
});
