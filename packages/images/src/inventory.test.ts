import assert from "node:assert/strict";
import { test } from "node:test";
import { parseApkFiles, parseApkPackages, parseDebPackages, selectApkRecords } from "./inventory.ts";

test("Debian's control stanzas: source with a version, alternatives, architecture qualifiers", () => {
  const [found, ...rest] = parseDebPackages(`Package: suricata
Source: suricata (1:7.0.10-1)
Version: 1:7.0.10-1+deb13u4
Architecture: amd64
Pre-Depends: dpkg (>= 1.17)
Depends: libc6 (>= 2.34), libhtp2 | libhtp3 (>= 1), python3:any [amd64]
Provides: ids (= 7)
Homepage: https://suricata.example
Description: Next Generation Intrusion Detection
 More about it
 .
 in lines that follow.
`);
  assert.equal(rest.length, 0);
  assert.deepEqual(found, {
    kind: "deb",
    name: "suricata",
    version: "1:7.0.10-1+deb13u4",
    architecture: "amd64",
    source: "suricata",
    description: "Next Generation Intrusion Detection",
    homepage: "https://suricata.example",
    licence: null,
    depends: ["dpkg", "libc6", "libhtp2", "libhtp3", "python3"],
    provides: ["ids"],
  });
});

const APK = `C:Q1abc=
P:musl
V:1.2.5-r10
A:x86_64
T:the musl c library
U:https://musl.example/
L:MIT
o:musl
p:so:libc.musl-x86_64.so.1=1
F:lib
R:ld-musl-x86_64.so.1
a:0:0:755

P:tini
V:0.19.0-r3
A:x86_64
L:MIT
D:so:libc.musl-x86_64.so.1 !conflict busybox>=1.36
F:sbin
R:tini
F:usr/share
R:tini.txt

`;

test("Alpine's installed database: packages and their files", () => {
  const [musl, tini] = parseApkPackages(APK);
  assert.equal(musl?.licence, "MIT");
  assert.deepEqual(musl?.provides, ["so:libc.musl-x86_64.so.1"]);
  assert.equal(tini?.source, "tini");
  assert.deepEqual(tini?.depends, ["busybox", "so:libc.musl-x86_64.so.1"]);
  assert.deepEqual(parseApkFiles(APK).get("tini"), ["sbin/tini", "usr/share/tini.txt"]);
});

test("Alpine's database of an image names what is in the image", () => {
  const selected = selectApkRecords(APK, new Set(["tini"]));
  assert.deepEqual(
    parseApkPackages(selected).map((each) => each.name),
    ["tini"],
  );
});
