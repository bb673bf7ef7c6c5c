import assert from "node:assert/strict";
import { test } from "node:test";
import { installationLayout } from "@bulkhead/schema";
import { twinDifferences } from "./twin-differences.ts";

const layout = installationLayout("twin");

function side(name: string, more: Readonly<Record<string, string>> = {}) {
  return {
    name,
    expanded_config: {
      "limits.memory": "64",
      "security.idmap.base": name === "canary" ? "1000065536" : "1000000000",
      "environment.BULKHEAD_INSTRUMENT": name,
      "raw.lxc": `lxc.cap.keep = none\nlxc.init.cmd = /bin/${name}\nlxc.mount.fstab = /x/${name}\n`,
      ...more,
    },
    expanded_devices: { sockets: { type: "disk", source: `${layout.socketsDir}/${name}`, readonly: "true" } },
  };
}

test("name, ids, command and own places may differ", () => {
  const canary = {
    ...side("canary"),
    expanded_devices: { ...side("canary").expanded_devices, adversary: { type: "disk" } },
  };
  assert.deepEqual(twinDifferences(layout, side("one"), canary), []);
});

test("everything else is a difference", () => {
  assert.equal(twinDifferences(layout, side("one"), side("canary", { "limits.memory": "128" })).length, 1);
  assert.equal(
    twinDifferences(layout, side("one"), side("canary", { "security.nesting": "true" })).length,
    1,
  );
  assert.equal(
    twinDifferences(layout, side("one"), side("canary", { "raw.lxc": "lxc.cap.keep = net_raw\n" })).length,
    1,
  );
  const open = {
    ...side("canary"),
    expanded_devices: { sockets: { type: "disk", source: `${layout.socketsDir}/canary` } },
  };
  assert.equal(twinDifferences(layout, side("one"), open).length, 1);
});
