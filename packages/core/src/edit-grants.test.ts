import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addGrant, type GrantEdit, type GrantEditOutcome, removeGrant } from "./edit-grants.ts";
import { parseSite } from "./parse.ts";

const SITE = `# The site of the lab.
apiVersion: bulkhead/v1
sensor: lab # its name

instruments:
  ids: { package: suricata, config: { a: 1,  b: "two" } }   # the IDS
  rules: { package: rule-manager }
grants:
  # DNS names for the history
  events: [ { from: ids, type: suricata.dns, to: pdns } ]
`;
const MESSAGE: GrantEdit = { kind: "message", from: "rules", name: "ruleset.check", to: "ids" };

function textOf(outcome: GrantEditOutcome): string {
  assert.equal(outcome.outcome, "changed");
  return outcome.outcome === "changed" ? outcome.text : "";
}

test("a grant is added where it belongs, and comments and order stay", () => {
  const text = textOf(addGrant(SITE, MESSAGE));
  for (const line of ["# The site of the lab.", "sensor: lab # its name", "  # DNS names for the history"]) {
    assert.ok(text.includes(line), line);
  }
  const parsed = parseSite(text, "site.yaml");
  assert.ok(parsed.ok);
  assert.deepEqual(parsed.value.grants.messages, [{ from: "rules", verb: "ruleset.check", to: "ids" }]);
  assert.equal(parsed.value.grants.events.length, 1);
  assert.deepEqual(addGrant(text, MESSAGE), { outcome: "unchanged" });
  assert.match(text, /\{ from: rules, verb: ruleset\.check, to: ids \}/);
});

test("what was added is taken away again, and nothing else", () => {
  const without = textOf(removeGrant(textOf(addGrant(SITE, MESSAGE)), MESSAGE));
  assert.equal(without, SITE);
  assert.ok(
    textOf(addGrant(SITE, MESSAGE)).startsWith(SITE),
    "one more entry behind all that its author wrote",
  );
  const [before, after] = [parseSite(SITE, "a"), parseSite(without, "b")];
  assert.ok(before.ok && after.ok);
  assert.deepEqual(after.value, before.value);
  assert.deepEqual(removeGrant(without, MESSAGE), { outcome: "unchanged" });
  const event: GrantEdit = { kind: "event", from: "ids", name: "suricata.dns", to: "pdns" };
  const empty = parseSite(textOf(removeGrant(SITE, event)), "c");
  assert.ok(empty.ok);
  assert.deepEqual(empty.value.grants, { events: [], messages: [], resources: [] });
});

test("a site without grants, and what is no site", () => {
  const bare = "apiVersion: bulkhead/v1\nsensor: lab\ninstruments: {}\n";
  const parsed = parseSite(textOf(addGrant(bare, MESSAGE)), "site.yaml");
  assert.ok(parsed.ok && parsed.value.grants.messages.length === 1);
  for (const text of ["- a\n", "grants: [1]\n", "grants: { messages: 5 }\n", "a: [\n", ""]) {
    assert.equal(addGrant(text, MESSAGE).outcome, "unreadable", text);
  }
});

test("property: adding and taking away gives the same site, whatever was there", () => {
  const name = fc.constantFrom("ids", "rules", "pdns");
  const edit = fc.record({
    kind: fc.constantFrom("event" as const, "message" as const),
    from: name,
    name: fc.constantFrom("a.b", "c"),
    to: name,
  });
  fc.assert(
    fc.property(
      fc.uniqueArray(edit, { selector: (e) => JSON.stringify(e), maxLength: 8 }),
      edit,
      (there, extra) => {
        const text = there.reduce(
          (sofar, each) => textOf(addGrant(sofar, each)),
          SITE.replace(/grants:[^]*/, ""),
        );
        const isThere = there.some((each) => JSON.stringify(each) === JSON.stringify(extra));
        const added = addGrant(text, extra);
        assert.equal(added.outcome, isThere ? "unchanged" : "changed");
        if (added.outcome !== "changed") return;
        const [before, after] = [
          parseSite(text, "a"),
          parseSite(textOf(removeGrant(added.text, extra)), "b"),
        ];
        assert.ok(before.ok && after.ok);
        assert.deepEqual(after.value, before.value);
      },
    ),
    { numRuns: 20 },
  );
});

test("a resource is granted and revoked like an event", () => {
  const edit = { kind: "resource", from: "feeds", name: "ruleset.feed", to: "rules" } as const;
  const added = addGrant("apiVersion: bulkhead/v1 # ours\n", edit);
  assert.ok(added.outcome === "changed");
  assert.equal(
    added.text,
    "apiVersion: bulkhead/v1 # ours\ngrants:\n  resources:\n    - { from: feeds, type: ruleset.feed, to: rules }\n",
  );
  assert.equal(addGrant(added.text, edit).outcome, "unchanged");
  const removed = removeGrant(added.text, edit);
  assert.ok(removed.outcome === "changed");
  assert.equal(removed.text, "apiVersion: bulkhead/v1 # ours\n");
});
