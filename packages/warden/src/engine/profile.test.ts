import { suite, test, type TestContext } from "node:test";
import assert from "node:assert/strict";
import type { InstrumentSpec } from "@bulkhead/schema";
import { isWardenError } from "../error.ts";
import { INCUS_DIALECT, LXD_DIALECT } from "./dialect.ts";
import { planProfile, type ProfileInput } from "./profile.ts";

const MIB = 2 ** 20;
const spec: InstrumentSpec = {
  name: "ids",
  package: "suricata",
  version: "1.0.0",
  imageDigest: "a".repeat(64),
  command: ["/opt/node/bin/node", "/opt/instrument/agent.cjs"],
  capabilities: [],
  memoryBytes: 512 * MIB,
  cpu: 1.5,
  processes: 64,
  volumes: [{ id: "rules", kind: "persistent", sizeBytes: 64 * MIB }],
  ui: true,
  egress: false,
  resources: false,
  network: { kind: "none" },
};

function input(more: Partial<InstrumentSpec> = {}, rest: Partial<ProfileInput> = {}): ProfileInput {
  return {
    spec: { ...spec, ...more },
    specDigest: "b".repeat(64),
    paths: {
      pool: "bulkhead",
      nodeDir: "/opt/bulkhead/bulkhead/node",
      socketsDir: "/run/bulkhead/bulkhead/sockets/ids",
      inboxDir: "/var/lib/bulkhead/bulkhead/inbox/ids",
      mountTableFile: "/var/lib/bulkhead/bulkhead/mount-tables/ids",
      netnsFile: "/run/netns/bulkhead-ids",
      volumeDirs: { rules: "/var/lib/bulkhead/bulkhead/mnt/ids/rules/d" },
    },
    idmapBase: 1_000_065_536,
    dialect: LXD_DIALECT,
    host: { cgroup: "v1", appArmor: false, ioWeightFile: null },
    ...rest,
  };
}

/** The whole profile, long texts cut into lines so that a change of one shows as one. */
function assertSnapshot(t: TestContext, profileInput: ProfileInput): void {
  t.assert.snapshot(planProfile(profileInput), {
    serializers: [
      (value) =>
        JSON.stringify(
          value,
          (_, each: unknown) => (typeof each === "string" && each.includes("\n") ? each.split("\n") : each),
          2,
        ),
    ],
  });
}

suite("profile", () => {
  test("without a network", (t) => assertSnapshot(t, input()));
  test("with a tap", (t) =>
    assertSnapshot(t, input({ capabilities: ["NET_RAW"], network: { kind: "mirror" } })));
  test("capture engine", (t) => assertSnapshot(t, input({ network: { kind: "engine" }, volumes: [] })));
  test("Incus, with AppArmor", (t) =>
    assertSnapshot(
      t,
      input(
        {},
        { dialect: INCUS_DIALECT, host: { cgroup: "v2", appArmor: true, ioWeightFile: "io.weight" } },
      ),
    ));

  test("NET_RAW is for taps alone", () => {
    for (const kind of ["none", "engine"] as const) {
      assert.throws(
        () => planProfile(input({ capabilities: ["NET_RAW"], network: { kind } })),
        (error) => isWardenError(error, "profile-capability-refused"),
      );
    }
  });

  test("a command cannot reach another line of the config, nor be cut elsewhere than at its words", () => {
    for (const word of [
      "a b",
      "a\nlxc.cap.keep = sys_admin",
      "",
      "a\tb",
      '"a"',
      "#x",
      "$HOME",
      "a'b",
      "a\\b",
    ]) {
      assert.throws(
        () => planProfile(input({ command: ["/bin/true", word] })),
        (error) => isWardenError(error, "profile-command-refused"),
        JSON.stringify(word),
      );
    }
  });

  test("a path with a line break is refused", () => {
    const { paths } = input();
    assert.throws(
      () => planProfile(input({}, { paths: { ...paths, netnsFile: "/run/netns/x\nlxc.hook.start = /x" } })),
      (error) => isWardenError(error, "profile-path-refused"),
    );
  });
});
