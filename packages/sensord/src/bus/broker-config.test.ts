import assert from "node:assert/strict";
import { test } from "node:test";
import { planBus } from "@bulkhead/core";
import { brokerPaths, renderBrokerConfig } from "./broker-config.ts";
import { DEFAULT_BUS_LIMITS } from "./limits.ts";

const PATHS = brokerPaths({ brokerDir: "/var/lib/bulkhead/x/broker" });
const USERS = planBus([{ name: "ids", needs: [] }], { events: [], messages: [], resources: [] }).users;

function render(users = USERS, passwords: Readonly<Record<string, string>> = { platform: "p", ids: "i" }) {
  const input = { slug: "bulkhead-x", port: 14222, paths: PATHS, users, passwords };
  return renderBrokerConfig({ ...input, storeBytes: 2 ** 30, limits: DEFAULT_BUS_LIMITS });
}

test("loopback alone, no other listener, and a user for each", () => {
  const { text, marker } = render();
  const config = JSON.parse(text);
  assert.equal(config.listen, "127.0.0.1:14222");
  for (const key of [
    "http",
    "http_port",
    "https",
    "monitor_port",
    "cluster",
    "leafnodes",
    "gateway",
    "websocket",
    "mqtt",
    "accounts",
    "no_auth_user",
  ]) {
    assert.ok(!(key in config), key);
  }
  assert.equal(config.max_payload, 1024 * 1024 + 8192);
  assert.deepEqual(
    config.authorization.users.map((user: { user: string; password: string }) => [user.user, user.password]),
    [
      ["platform", "p"],
      ["ids", "i"],
    ],
  );
  const [platform, ids] = config.authorization.users;
  assert.ok(platform.permissions.publish.allow.includes(marker));
  assert.ok(!ids.permissions.publish.allow.includes(marker));
  assert.deepEqual(ids.permissions.allow_responses, { max: 1, expires: "120s" });
});

test("the marker changes with the rules and with nothing else", () => {
  assert.equal(render().marker, render().marker);
  const [platform, ids] = USERS;
  assert.ok(platform && ids);
  const wider = [platform, { ...ids, publish: [...ids.publish, "ev.ids.x"] }];
  assert.notEqual(render(wider).marker, render().marker);
});

test("a user without a password is refused", () => {
  assert.throws(() => render(USERS, { platform: "p" }), TypeError);
});
