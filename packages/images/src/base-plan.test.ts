import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "@bulkhead/schema";
import { planApk } from "./alpine.ts";
import { baseKey, planBase } from "./base-plan.ts";
import { planMmdebstrap } from "./debian.ts";

type Input = Pick<Manifest, "image" | "run">;

function input(image: Partial<Manifest["image"]>, capabilities: "NET_RAW"[] = []): Input {
  return {
    image: { base: "debian", packages: [], trim: true, files: [], ...image },
    run: { command: ["/opt/node/bin/node"], capabilities },
  };
}

test("the order and repetition of packages make no other base", () => {
  const one = planBase(input({ packages: ["suricata", "tini", "jq"] }));
  const other = planBase(input({ packages: ["jq", "suricata", "jq"] }));
  assert.deepEqual(one, other);
  assert.equal(baseKey(one), baseKey(other));
});

test("base, suite, packages, trimming and NET_RAW make another base", () => {
  const inputs: Input[] = [
    input({}),
    input({ trim: false }),
    input({ suite: "bookworm" }),
    input({ packages: ["jq"] }),
    input({}, ["NET_RAW"]),
    input({ base: "alpine" }),
  ];
  assert.equal(new Set(inputs.map((each) => baseKey(planBase(each)))).size, inputs.length);
});

test("setpriv alone is taken from util-linux, unless the recipe asks for the package", () => {
  assert.deepEqual(planBase(input({}, ["NET_RAW"])).fileOnly, { "util-linux": "usr/bin/setpriv" });
  assert.deepEqual(planBase(input({ packages: ["util-linux"] }, ["NET_RAW"])).fileOnly, {});
  assert.ok(!planBase(input({})).packages.includes("util-linux"));
});

test("Debian: the argv of mmdebstrap", () => {
  const plan = planBase(input({ packages: ["suricata"] }));
  assert.deepEqual(planMmdebstrap(plan, { dir: "/c/tree", sources: "/c/tree.list", aptOptions: "/c/apt" }), [
    "mmdebstrap",
    "--mode=root",
    "--variant=extract",
    "--format=directory",
    "--skip=cleanup/apt",
    "--aptopt=/c/apt",
    '--aptopt=APT::Install-Recommends "false"',
    "--include=base-files,busybox-static,libc6,libgcc-s1,libstdc++6,suricata,tini",
    "trixie",
    "/c/tree",
    "/c/tree.list",
  ]);
});

test("Alpine: the argv of apk; Node comes with the image, and no package script runs", () => {
  const plan = planBase(input({ base: "alpine", packages: ["suricata"] }, ["NET_RAW"]));
  assert.equal(plan.node, "image");
  const mirror = { main: "http://a.example/alpine", keysDir: "/keys", apk: "/usr/bin/apk.static" };
  assert.deepEqual(planApk(plan, mirror, "/c/tree"), [
    "/usr/bin/apk.static",
    "--root",
    "/c/tree",
    "--arch",
    process.arch === "x64" ? "x86_64" : "aarch64",
    "--keys-dir",
    "/keys",
    "--repository",
    "http://a.example/alpine/v3.22/main",
    "--repository",
    "http://a.example/alpine/v3.22/community",
    "--no-cache",
    "--no-interactive",
    "--no-scripts",
    "--initdb",
    "add",
    "alpine-baselayout",
    "busybox-static",
    "libgcc",
    "libstdc++",
    "nodejs",
    "setpriv",
    "suricata",
    "tini",
  ]);
});
