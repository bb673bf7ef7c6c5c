import assert from "node:assert/strict";
import { test } from "node:test";
import { findDebianArchive, parseAptSources } from "./apt-sources.ts";

const DEB822 = `# made by the installer
Types: deb deb-src
URIs: http://mirror.example/debian/
# http://snapshot.example/old
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`;

test("deb822: one entry for each pair of URI and suite, comments inside a stanza skipped", () => {
  const entries = parseAptSources([{ name: "debian.sources", text: DEB822 }]);
  assert.deepEqual(
    entries.map(({ uri, suite }) => `${uri} ${suite}`),
    [
      "http://mirror.example/debian bookworm",
      "http://mirror.example/debian bookworm-updates",
      "http://mirror.example/debian-security bookworm-security",
    ],
  );
  assert.deepEqual(entries[0]?.components, ["main", "contrib"]);
});

test("deb822: the release and its security updates are found", () => {
  assert.deepEqual(findDebianArchive([{ name: "debian.sources", text: DEB822 }]), {
    main: "http://mirror.example/debian",
    security: "http://mirror.example/debian-security",
  });
});

test("deb822: a disabled stanza, one for sources only, and an inline key of another origin", () => {
  const text = `Enabled: no
Types: deb
URIs: http://disabled.example/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://sources.example/debian
Suites: bookworm
Components: main

Types: deb
URIs: http://inline.example/debian
Suites: bookworm
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGPL
 -----END PGP PUBLIC KEY BLOCK-----
`;
  const entries = parseAptSources([{ name: "x.sources", text }]);
  assert.deepEqual(
    entries.map(({ uri, signedBy }) => [uri, signedBy]),
    [["http://inline.example/debian", null]],
  );
});

test("one-line: options, comments, source lines and a CD are understood", () => {
  const text = `# deb http://commented.example/debian bookworm main
deb cdrom:[Debian 12]/ bookworm main
deb-src http://sources.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian bookworm main non-free-firmware # ours
deb http://mirror.example/debian-security bookworm-security main
`;
  assert.deepEqual(findDebianArchive([{ name: "/etc/apt/sources.list", text }]), {
    main: "http://mirror.example/debian",
    security: "http://mirror.example/debian-security",
  });
});

test("other origins are no Debian archive", () => {
  const text = `deb [signed-by=/usr/share/keyrings/nodesource.gpg] https://node.example/node_20.x nodistro main
deb [signed-by=/usr/share/keyrings/vendor.gpg] https://vendor.example/debian bookworm main
deb https://docker.example/linux/debian bookworm stable
deb https://pg.example/apt bookworm-pgdg main
deb http://ubuntu.example/ubuntu noble main
`;
  assert.equal(findDebianArchive([{ name: "others.list", text }]), null);
});

test("among several candidates Debian's key and the customary path decide", () => {
  const text = `deb https://vendor.example/apt bookworm main
deb http://mirror.example/debian bookworm main
`;
  assert.equal(findDebianArchive([{ name: "a.list", text }])?.main, "http://mirror.example/debian");
});
