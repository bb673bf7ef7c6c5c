import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDebPackages } from "./inventory.ts";
import { renderSbom } from "./sbom.ts";

const [libstdc] = parseDebPackages(
  "Package: libstdc++6\nSource: gcc-14\nVersion: 14.2.0-19+b1\nArchitecture: amd64\nHomepage: http://gcc.example/\n",
);
assert.ok(libstdc !== undefined);

const input = {
  name: "suricata",
  version: "1.0.0",
  base: "debian",
  suite: "trixie",
  packages: [libstdc],
  npm: [
    { name: "@nats-io/nats-core", version: "3.4.0", licence: "Apache-2.0" },
    { name: "odd", version: "1.0.0", licence: "see LICENSE, please" },
    { name: "two", version: "1.0.0", licence: "(MIT OR Apache-2.0)" },
  ],
} as const;

test("each package is named by its package URL", () => {
  const document = JSON.parse(renderSbom(input));
  const purls = document.components.map((each: { purl?: string }) => each.purl);
  assert.deepEqual(purls, [
    undefined,
    "pkg:deb/debian/libstdc%2B%2B6@14.2.0-19%2Bb1?arch=amd64&distro=trixie&upstream=gcc-14",
    "pkg:npm/%40nats-io/nats-core@3.4.0",
    "pkg:npm/odd@1.0.0",
    "pkg:npm/two@1.0.0",
  ]);
  assert.equal(document.specVersion, "1.6");
});

test("only what is an SPDX expression is stated as a licence", () => {
  const document = JSON.parse(renderSbom(input));
  const licences = document.components.map((each: { licenses?: unknown }) => each.licenses);
  assert.deepEqual(licences.slice(2), [
    [{ license: { name: "Apache-2.0" } }],
    undefined,
    [{ expression: "(MIT OR Apache-2.0)" }],
  ]);
});

test("the same input gives the same bytes, in whatever order the packages come", () => {
  assert.equal(renderSbom(input), renderSbom({ ...input, npm: input.npm.toReversed() }));
});
