/** What a new site grants and no longer grants, as the audit log tells it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Site } from "@bulkhead/schema";
import { grantChanges } from "./grant-changes.ts";

const site = (over: object): Site =>
  Site.parse({
    apiVersion: "bulkhead/v1",
    sensor: "s",
    instruments: {
      ids: { package: "suricata", tap: { from: "capture", filter: "port 53" } },
      pdns: { package: "passive-dns" },
    },
    grants: { events: [{ from: "ids", type: "suricata.dns", to: "pdns" }] },
    ...over,
  });
const names = (grants: ReturnType<typeof grantChanges>["added"]) =>
  grants.map((g) => `${g.subject} ${g.what} ${g.grant}`);

test("the first site grants all that it says; the same again grants nothing new", () => {
  assert.deepEqual(names(grantChanges(null, site({})).added), [
    'ids tap {"filter":"port 53","from":"capture"}',
    'pdns event {"from":"ids","to":"pdns","type":"suricata.dns"}',
  ]);
  assert.deepEqual(grantChanges(site({}), site({})), { added: [], removed: [] });
});

test("a changed grant is one that went and one that came; a withdrawn one went", () => {
  const wider = { ids: { package: "suricata", tap: { from: "capture" } }, pdns: { package: "passive-dns" } };
  const { added, removed } = grantChanges(site({}), site({ instruments: wider, grants: {} }));
  assert.deepEqual(names(added), ['ids tap {"filter":"","from":"capture"}']);
  assert.deepEqual(names(removed), [
    'ids tap {"filter":"port 53","from":"capture"}',
    'pdns event {"from":"ids","to":"pdns","type":"suricata.dns"}',
  ]);
});
