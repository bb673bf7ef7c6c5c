import assert from "node:assert/strict";
import { test } from "node:test";
import { renderInheritedOptions } from "./apt-options.ts";

test("how to reach the archive is taken over, what weakens verification is not", () => {
  const dump = `Acquire "";
Acquire::http "";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::https::CaInfo "/etc/ssl/own.pem";
Acquire::https::Verify-Peer "false";
Acquire::Retries "3";
Acquire::Check-Valid-Until "false";
Acquire::AllowInsecureRepositories "1";
Acquire::AllowDowngradeToInsecureRepositories "1";
Acquire::Languages:: "de";
Acquire::GzipIndexes "true";
APT::Update::Post-Invoke:: "rm -rf /";
`;
  assert.deepEqual(renderInheritedOptions(dump).trim().split("\n"), [
    'Acquire::http "";',
    'Acquire::http::Proxy "http://proxy.example:3128";',
    'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    'Acquire::Retries "3";',
    'Acquire::Check-Valid-Until "false";',
  ]);
});
