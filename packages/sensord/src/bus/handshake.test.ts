import assert from "node:assert/strict";
import { test } from "node:test";
import { renderConnect, renderInfo } from "./handshake.ts";

const CREDENTIALS = { user: "ids", password: "secret" };

function parse(bytes: Buffer | null): Record<string, unknown> {
  assert.ok(bytes);
  const text = bytes.toString();
  assert.ok(text.endsWith("\r\n"));
  return JSON.parse(text.slice(text.indexOf(" ")));
}

test("what the broker says of itself is left out", () => {
  const info = parse(
    renderInfo(
      JSON.stringify({
        server_id: "N1",
        server_name: "bulkhead-x",
        version: "2.10.27",
        go: "go1.24",
        host: "127.0.0.1",
        port: 14222,
        headers: true,
        auth_required: true,
        max_payload: 1056768,
        jetstream: true,
        client_id: 7,
        client_ip: "127.0.0.1",
        nonce: "abc",
        xkey: "X",
        proto: 1,
        connect_urls: ["10.0.0.1:4222"],
        ws_connect_urls: ["10.0.0.1:80"],
      }),
    ),
  );
  assert.deepEqual(info, {
    server_id: "N1",
    version: "2.10.27",
    proto: 1,
    headers: true,
    jetstream: true,
    max_payload: 1056768,
    server_name: "bulkhead",
    host: "bulkhead",
    port: 4222,
  });
});

test("a CONNECT gets our credentials and keeps none of the client's own", () => {
  const text = JSON.stringify({
    verbose: false,
    headers: true,
    no_responders: true,
    protocol: 1,
    lang: "node",
    version: "3.4.0",
    name: "platform",
    user: "platform",
    pass: "guess",
    auth_token: "t",
    jwt: "j",
    nkey: "n",
    sig: "s",
    account: "SYS",
    remote_account: "SYS",
  });
  assert.deepEqual(parse(renderConnect(text, "ids", CREDENTIALS)), {
    verbose: false,
    pedantic: false,
    protocol: 1,
    headers: true,
    no_responders: true,
    echo: true,
    lang: "node",
    version: "3.4.0",
    name: "ids",
    tls_required: false,
    user: "ids",
    pass: "secret",
  });
});

test("what is not a CONNECT is none", () => {
  for (const text of ["", "x", "[]", "7", "null", '{"verbose":"yes"}', '{"protocol":9}', '{"lang":7}']) {
    assert.equal(renderConnect(text, "ids", CREDENTIALS), null, text);
  }
  assert.ok(renderConnect("{}", "ids", CREDENTIALS));
});
