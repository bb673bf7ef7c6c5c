import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { configDeviations } from "./config-deviations.ts";

const profile = {
  config: { "security.nesting": "false", "raw.lxc": "a = 1\nb = 2\n" },
  devices: { root: { type: "disk", path: "/", readonly: "true" } },
};
const instance = {
  type: "container",
  profiles: [],
  expanded_config: {
    ...profile.config,
    "volatile.uuid": "x",
    "image.os": "debian",
  } as Record<string, string>,
  expanded_devices: { ...profile.devices } as Record<string, Record<string, string>>,
};

suite("config deviations", () => {
  test("none where it is as set, a lost last line break and the runtime's own keys included", () => {
    assert.deepEqual(configDeviations(profile, instance), []);
    const trimmed = { ...instance.expanded_config, "raw.lxc": "a = 1\nb = 2" };
    assert.deepEqual(configDeviations(profile, { ...instance, expanded_config: trimmed }), []);
  });

  test("each key and device that differs is named", () => {
    const changed = {
      type: "virtual-machine",
      profiles: ["wide"],
      expanded_config: { "security.nesting": "true", "linux.kernel_modules": "tun" },
      expanded_devices: {
        root: { type: "disk", path: "/" },
        eth0: { type: "nic", nictype: "bridged" },
      } as Record<string, Record<string, string>>,
    };
    assert.deepEqual(configDeviations(profile, changed), [
      "it is a virtual-machine, not a container",
      "the runtime's profile wide is in use",
      'linux.kernel_modules is "tun", but not in the profile',
      'raw.lxc is unset, not "a = 1\\nb = 2"',
      'security.nesting is "true", not "false"',
      'device root: readonly is unset, not "true"',
      "the device eth0 is not in the profile",
    ]);
    assert.deepEqual(configDeviations(profile, { ...instance, expanded_devices: {} }), [
      "the device root is missing",
    ]);
  });
});
