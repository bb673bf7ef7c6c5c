import assert from "node:assert/strict";
import { test } from "node:test";
import { checkName, parseCandidate, renderSources } from "./apt-source.ts";
import { ImageFault } from "./image-fault.ts";

const archive = { main: "http://m.example/debian", security: "http://m.example/debian-security" };
const KEY = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";

test("a release comes with its security updates, and is always verified by Debian's keyring", () => {
  assert.equal(
    renderSources("trixie", archive),
    `deb ${KEY} http://m.example/debian trixie main
deb ${KEY} http://m.example/debian-security trixie-security main
`,
  );
});

test("backports stand on their release", () => {
  assert.equal(
    renderSources("bookworm-backports", { ...archive, security: null }),
    `deb ${KEY} http://m.example/debian bookworm main
deb ${KEY} http://m.example/debian bookworm-backports main
`,
  );
});

test("the candidate of apt-cache policy", () => {
  const policy = (candidate: string): string =>
    `nats-server:\n  Installed: (none)\n  Candidate: ${candidate}\n  Version table:\n`;
  assert.equal(parseCandidate(policy("2.10.27-1+b2")), "2.10.27-1+b2");
  assert.equal(parseCandidate(policy("(none)")), null);
  assert.equal(parseCandidate(""), null);
});

test("what could not be a package never reaches an argv", () => {
  assert.equal(checkName("libstdc++6"), "libstdc++6");
  for (const bad of ["-oDpkg::x", "a b", "", "?essential", "./x.deb", "x,y"]) {
    assert.throws(
      () => checkName(bad),
      (error) => error instanceof ImageFault && error.code === "image-package-missing",
      bad,
    );
  }
});
