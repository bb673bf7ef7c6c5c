import assert from "node:assert/strict";
import { Duplex } from "node:stream";
import { once } from "node:events";
import { connect } from "node:tls";
import { test } from "node:test";
import { MOST_BYTES, readClientHello } from "./client-hello.ts";

/** What Node's own TLS says first. */
async function realHello(servername: string): Promise<Buffer> {
  const first = Promise.withResolvers<Buffer>();
  const wire = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      first.resolve(chunk);
      done();
    },
  });
  const socket = connect({ socket: wire, ...(servername === "" ? {} : { servername }) });
  socket.on("error", () => undefined);
  const hello = await first.promise;
  socket.destroy();
  await once(socket, "close");
  return hello;
}

/** The same message in records of `size` bytes. */
function cut(hello: Buffer, size: number): Buffer {
  const message = hello.subarray(5);
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += size) {
    const fragment = message.subarray(at, at + size);
    records.push(Buffer.from([22, 3, 1, fragment.length >> 8, fragment.length & 0xff]), fragment);
  }
  return Buffer.concat(records);
}

/** The hello with one more extension at its end. */
function withExtension(hello: Buffer, kind: number, data: Buffer): Buffer {
  const message = hello.subarray(5);
  const extension = Buffer.alloc(4);
  extension.writeUInt16BE(kind, 0);
  extension.writeUInt16BE(data.length, 2);
  const longer = Buffer.concat([message, extension, data]);
  longer.writeUIntBE(longer.length - 4, 1, 3);
  // version, random, session id, cipher suites, compression methods; then the length of the extensions.
  let at = 4 + 2 + 32;
  at += 1 + longer.readUInt8(at);
  at += 2 + longer.readUInt16BE(at);
  at += 1 + longer.readUInt8(at);
  longer.writeUInt16BE(longer.readUInt16BE(at) + 4 + data.length, at);
  const header = Buffer.from([22, 3, 1, longer.length >> 8, longer.length & 0xff]);
  return Buffer.concat([header, longer]);
}

test("a real hello is read, however it is cut, and only when it is whole", async () => {
  const hello = await realHello("Rules.Example.net");
  const expected = { outcome: "hello", serverName: "rules.example.net" };
  assert.deepEqual(readClientHello(hello), expected);
  assert.deepEqual(readClientHello(cut(hello, 100)), expected);
  for (let end = 0; end < hello.length; end += 1) {
    assert.deepEqual(readClientHello(hello.subarray(0, end)), { outcome: "more" }, `${end} bytes`);
  }
});

test("without a server name, or with an encrypted one, it is refused", async () => {
  assert.deepEqual(readClientHello(await realHello("")), { outcome: "refused", reason: "sni-missing" });
  const hello = await realHello("rules.example.net");
  assert.deepEqual(readClientHello(withExtension(hello, 0x4444, Buffer.alloc(3))), {
    outcome: "hello",
    serverName: "rules.example.net",
  });
  const refused = { outcome: "refused", reason: "ech-refused" };
  assert.deepEqual(readClientHello(withExtension(hello, 0xfe0d, Buffer.alloc(3))), refused);
});

test("two server names, trailing bytes and other protocols are no hello", async () => {
  const hello = await realHello("rules.example.net");
  const refused = { outcome: "refused", reason: "not-tls" };
  assert.deepEqual(readClientHello(withExtension(hello, 0, Buffer.from([0, 4, 0, 0, 1, 97]))), refused);
  for (const text of ["SSH-2.0-x\r\n", "GET / HTTP/1.1\r\n", "\x16\x02", "\x16\x03\x01\x00\x00"]) {
    assert.deepEqual(readClientHello(Buffer.from(text, "latin1")), refused, text);
  }
  const second = Buffer.concat([hello, Buffer.from([0])]);
  second.writeUInt16BE(hello.length - 5 + 1, 3);
  assert.deepEqual(readClientHello(second), refused);
});

test("a hello without end is not waited for", async () => {
  const long = Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff]);
  assert.deepEqual(readClientHello(long), { outcome: "refused", reason: "tls-hello-too-long" });
  const hello = await realHello("rules.example.net");
  const crumbs = readClientHello(cut(hello, 1));
  assert.deepEqual(crumbs, { outcome: "refused", reason: "tls-hello-too-long" });
  assert.ok(MOST_BYTES < 20_000);
});
