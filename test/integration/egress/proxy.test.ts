/**
 * The egress proxy by itself, in a namespace, against real DNS, TLS and HTTP servers: what is granted works, and each
 * way around a grant is refused, with the outside as the witness that nothing came.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { EgressReason } from "@bulkhead/schema";
import { requestThroughEgress } from "@bulkhead/sdk";
import {
  ask,
  connectTo,
  type EgressStand,
  getPlain,
  makeEgressStand,
  PERMIT,
  PLACE,
  secure,
} from "./egress-stand.ts";
import type { OutsideAnswer } from "./outside-process.ts";

const a = (name: string, data: string): OutsideAnswer => ({ type: "A", name, data });
const aaaa = (name: string, data: string): OutsideAnswer => ({ type: "AAAA", name, data });
const only = (host: string, data: string) => ({ [`${host} A`]: [[a(host, data)]] });
const only6 = (host: string, data: string) => ({ [`${host} AAAA`]: [[aaaa(host, data)]] });

/** Names and the address that each must not be led to. */
const PRIVATE = {
  "private.example.net": "10.66.0.5",
  "metadata.example.net": "169.254.169.254",
  "loop.example.net": "127.0.0.1",
  "zero.example.net": "0.0.0.0",
  "shared.example.net": "100.64.0.1",
  "multicast.example.net": "224.0.0.1",
  "testnet.example.net": "192.0.2.1",
} as const;
const PRIVATE6 = {
  "mapped.example.net": "::ffff:10.66.0.5",
  "nat64.example.net": "64:ff9b::a42:5",
  "local64.example.net": "64:ff9b:1::a42:5",
  "unique.example.net": "fd00::1",
  "link.example.net": "fe80::1",
  "loop6.example.net": "::1",
  "sixtofour.example.net": "2002:a42:5::1",
  "compat.example.net": "::10.66.0.5",
} as const;

const zone = {
  ...only("web.example.net", PLACE.web),
  ...only("other.example.net", PLACE.other),
  ...only6("web6.example.net", PLACE.web6),
  ...Object.assign({}, ...Object.entries(PRIVATE).map(([host, address]) => only(host, address))),
  ...Object.assign({}, ...Object.entries(PRIVATE6).map(([host, address]) => only6(host, address))),
  "mixed.example.net A": [[a("mixed.example.net", PLACE.web), a("mixed.example.net", PLACE.secret)]],
  "rebind.example.net A": [[a("rebind.example.net", PLACE.web)], [a("rebind.example.net", PLACE.secret)]],
  "alias.example.net A": [
    [
      { type: "CNAME" as const, name: "alias.example.net", data: "inner.corp" },
      a("inner.corp", PLACE.secret),
    ],
  ],
  "cdn.example.net A": [
    [
      { type: "CNAME" as const, name: "cdn.example.net", data: "edge.cdn.test" },
      a("edge.cdn.test", PLACE.web),
    ],
  ],
};
const hosts = [...new Set(Object.keys(zone).map((key) => key.split(" ")[0] ?? ""))];
const targets = [
  ...hosts.filter((host) => host !== "other.example.net").map((host) => `${host}:443`),
  "http://web.example.net:80",
  "absent.example.net:443",
];
const permits = [
  { instrument: "fetcher", targets, ...PERMIT },
  { instrument: "stranger", targets: ["other.example.net:443"], ...PERMIT },
];

let stand: EgressStand;
before(async () => {
  stand = await makeEgressStand(zone);
  await stand.setPolicy({ permits });
});
after(() => stand[Symbol.asyncDispose]());

const count = (): number => stand.events.filter(({ what }) => what !== "dns" && what !== "ready").length;

/** How many connections came outside, once no more come from what was done before. */
async function came(): Promise<number> {
  for (let before = -1; ;) {
    if (before === count()) return before;
    before = count();
    await delay(60);
  }
}

/** The tunnel works to the end: a question in TLS is answered by the address that was expected. */
async function reaches(host: string, address: string, instrument = "fetcher"): Promise<void> {
  const { status, refused, socket } = await connectTo(stand.socketOf(instrument), `${host}:443`);
  assert.deepEqual({ status, refused }, { status: 200, refused: null });
  const tls = await secure(socket, { ca: stand.ca, servername: host, host });
  assert.match(await ask(tls, "hello"), new RegExp(`from .*${address.replaceAll(".", "\\.")}: hello`));
  tls.destroy();
}

async function refusedBeforeTunnel(
  authority: string,
  reason: EgressReason,
  instrument = "fetcher",
): Promise<void> {
  const before = await came();
  const { refused, status, socket } = await connectTo(stand.socketOf(instrument), authority);
  socket.destroy();
  assert.equal(refused, reason);
  assert.ok(status >= 400, `${status}`);
  assert.equal(await came(), before, "nothing came outside");
}

test("a granted host is reached over TLS, IPv4 and IPv6, and both records say so without content", async () => {
  await reaches("web.example.net", PLACE.web);
  await reaches("web6.example.net", PLACE.web6);
  await reaches("other.example.net", PLACE.other, "stranger");
  const closed = await stand.recordOf((r) => r.state === "closed" && r.host === "web.example.net");
  assert.equal(closed.instrument, "fetcher");
  assert.equal(closed.address, PLACE.web);
  assert.ok(closed.sentBytes > 300 && closed.receivedBytes > 300);
  assert.ok(stand.records.some((r) => r.state === "opened" && r.host === "web.example.net"));
  assert.ok(!JSON.stringify(stand.records).includes("hello"));
});

test("the name is compared without case", async () => {
  const { status, socket } = await connectTo(stand.socketOf("fetcher"), "WEB.Example.NET:443");
  assert.equal(status, 200);
  const tls = await secure(socket, { ca: stand.ca, servername: "Web.example.net", host: "web.example.net" });
  tls.destroy();
});

test("another host, another port, an address, a wildcard, a trailing dot or another's grant is refused", async () => {
  await reaches("web.example.net", PLACE.web);
  for (const authority of [
    "other.example.net:443",
    "web.example.net:8443",
    "web.example.net:22",
    "web.example.net:80",
    "web.example.net.:443",
    "*.example.net:443",
    `${PLACE.web}:443`,
    `[${PLACE.web6}]:443`,
    "1572395790:443",
    "0x5db8d70e:443",
    "web.example.net",
    "web.example.net@other.example.net:443",
    "xweb.example.net:443",
  ]) {
    await refusedBeforeTunnel(authority, "not-granted");
  }
  await refusedBeforeTunnel("web.example.net:443", "not-granted", "stranger");
  const record = await stand.recordOf((r) => r.instrument === "stranger" && r.reason === "not-granted");
  assert.deepEqual([record.reason, record.host, record.port], ["not-granted", "web.example.net", 443]);
});

for (const [host, address] of Object.entries({ ...PRIVATE, ...PRIVATE6 })) {
  test(`a granted name that leads to ${address} is refused`, async () => {
    await refusedBeforeTunnel(`${host}:443`, "address-refused");
    const record = await stand.recordOf((r) => r.host === host);
    assert.equal(record.reason, "address-refused");
  });
}

test("an answer that holds a private address beside a public one is refused whole", async () => {
  await refusedBeforeTunnel("mixed.example.net:443", "address-refused");
});

test("a CNAME may lead elsewhere in public, and to nothing private", async () => {
  await reaches("cdn.example.net", PLACE.web);
  await refusedBeforeTunnel("alias.example.net:443", "address-refused");
});

test("rebinding: one resolution a connection, connected to what was checked, and the next answer is checked again", async () => {
  const asked = () =>
    stand.events.filter(({ what, name }) => what === "dns" && name === "rebind.example.net A").length;
  await reaches("rebind.example.net", PLACE.web);
  assert.equal(asked(), 1, "the address that was checked is the one that was connected to");
  await refusedBeforeTunnel("rebind.example.net:443", "address-refused");
  assert.equal(asked(), 2);
});

test("a name that does not exist is told so", () =>
  refusedBeforeTunnel("absent.example.net:443", "name-not-found"));

/** What a tunnel that was opened ends with when the client sends this first. */
async function reasonOf(bytes: Buffer): Promise<string | null> {
  const from = stand.records.length;
  const { status, socket } = await connectTo(stand.socketOf("fetcher"), "web.example.net:443");
  assert.equal(status, 200);
  socket.write(bytes);
  socket.resume();
  await once(socket, "close");
  return (await stand.recordOf((r) => stand.records.indexOf(r) >= from && r.state === "refused")).reason;
}

test("a tunnel takes TLS for its own host alone", async () => {
  const hello = async (servername: string): Promise<string | null> => {
    const from = stand.records.length;
    const { socket } = await connectTo(stand.socketOf("fetcher"), "web.example.net:443");
    await assert.rejects(secure(socket, { ca: stand.ca, servername, host: "" }));
    return (await stand.recordOf((r) => stand.records.indexOf(r) >= from && r.state === "refused")).reason;
  };
  assert.equal(await hello("other.example.net"), "sni-differs");
  assert.equal(await hello(""), "sni-missing");
  assert.equal(await reasonOf(Buffer.from("SSH-2.0-OpenSSH_9.2\r\n")), "not-tls");
  assert.equal(await reasonOf(Buffer.from("GET / HTTP/1.1\r\nHost: web.example.net\r\n\r\n")), "not-tls");
  assert.equal(await reasonOf(Buffer.from([22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff])), "tls-hello-too-long");
  await reaches("web.example.net", PLACE.web);
});

test("http is for targets that are named so: forwarded as one request, without its hop-by-hop fields", async () => {
  const socket = stand.socketOf("fetcher");
  const { status, text } = await getPlain(socket, "http://web.example.net/echo", {
    "proxy-authorization": "secret",
    connection: "x-hop",
    "x-hop": "1",
    "x-kept": "2",
  });
  assert.equal(status, 200);
  assert.match(text, /x-kept/);
  assert.doesNotMatch(text, /secret|x-hop"/);
  const before = await came();
  assert.equal((await getPlain(socket, "http://other.example.net/")).refused, "not-granted");
  assert.equal(
    (await getPlain(socket, "http://web.example.net/", { host: "other.example.net" })).refused,
    "host-header-differs",
  );
  assert.equal((await getPlain(socket, "http://web.example.net:8080/")).refused, "not-granted");
  assert.equal((await connectTo(socket, "http://web.example.net:80")).refused, "not-granted");
  assert.equal(await came(), before);
});

test("a redirect is the client's next request, and judged as such", async () => {
  const socket = stand.socketOf("fetcher");
  const { status, location } = await getPlain(socket, "http://web.example.net/redirect");
  assert.equal(status, 302);
  assert.equal((await getPlain(socket, location ?? "")).refused, "not-granted");
  const record = await stand.recordOf(
    (r) => r.state === "refused" && r.host === "other.example.net" && r.port === 80,
  );
  assert.ok(!JSON.stringify(record).includes("secret"), "a record never holds a path");
});

test("bytes each way are bounded", async () => {
  const connection = async (sentBytes: number, receivedBytes: number, text: string) => {
    await stand.setPolicy({
      permits: [{ instrument: "fetcher", targets, ...PERMIT, sentBytes, receivedBytes }],
    });
    const from = stand.records.length;
    const { socket } = await connectTo(stand.socketOf("fetcher"), "web.example.net:443");
    const tls = await secure(socket, { ca: stand.ca, servername: "web.example.net", host: "" });
    let bytes = 0;
    tls.on("data", (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes >= 4 * 1024 * 1024) tls.end();
    });
    tls.write(text);
    await once(tls, "close");
    const closed = await stand.recordOf((r) => stand.records.indexOf(r) >= from && r.state === "closed");
    return { reason: closed.reason, bytes };
  };
  const free = await connection(1_000_000, 10_000_000, "BIG");
  assert.deepEqual(free, { reason: null, bytes: 4 * 1024 * 1024 });
  const received = await connection(1_000_000, 1_000_000, "BIG");
  assert.equal(received.reason, "bytes-exceeded");
  assert.ok(received.bytes <= 1_000_000);
  assert.equal((await connection(20_000, 10_000_000, `BIG${"x".repeat(50_000)}`)).reason, "bytes-exceeded");
  await stand.setPolicy({ permits });
});

test("so many connections at once and no more, and one that is silent ends", async () => {
  const socket = stand.socketOf("fetcher");
  const open = [];
  for (let i = 0; i < PERMIT.connections; i += 1) open.push(await connectTo(socket, "web.example.net:443"));
  await refusedBeforeTunnel("web.example.net:443", "too-many-connections");
  open[0]?.socket.destroy();
  await stand.recordOf((r) => r.state === "refused" && r.reason === "not-tls" && r.address === PLACE.web);
  await reaches("web.example.net", PLACE.web);
  for (const { socket: each } of open.slice(1)) each.resume();
  const silent = connect(socket);
  silent.write("CONNECT web.example.net:443 HTTP/1.1\r\nHost: web");
  silent.resume();
  const beganMs = performance.now();
  await Promise.all(open.slice(1).map(({ socket: each }) => once(each, "close")));
  assert.ok(performance.now() - beganMs < 15_000, "a ClientHello that does not come is not waited for");
  await once(silent, "close");
  assert.ok(performance.now() - beganMs < 40_000, "a request without end is not waited for");
});

test("named private addresses are reached, and others are still not", async () => {
  await stand.setPolicy({ permits, private: [`${PLACE.secret}/32`] });
  await reaches("private.example.net", PLACE.secret);
  await reaches("mixed.example.net", "");
  await refusedBeforeTunnel("metadata.example.net:443", "address-refused");
  await refusedBeforeTunnel("loop.example.net:443", "address-refused");
  await refusedBeforeTunnel("mapped.example.net:443", "address-refused");
  await stand.setPolicy({ permits });
});

test("through an upstream proxy: host and server name are held to, and its refusal is told", async () => {
  const through = [...targets, "upstream-only.example.net:443"];
  const permit = { instrument: "fetcher", targets: through, ...PERMIT };
  await stand.setPolicy({ permits: [permit], proxy: { host: PLACE.web, port: 3128 } });
  await reaches("upstream-only.example.net", "127.0.0.1");
  const { refused } = await connectTo(stand.socketOf("fetcher"), "web.example.net:443");
  assert.equal(refused, "upstream-refused");
  await refusedBeforeTunnel("other.example.net:443", "not-granted");
  const { socket } = await connectTo(stand.socketOf("fetcher"), "upstream-only.example.net:443");
  await assert.rejects(secure(socket, { ca: stand.ca, servername: "web.example.net", host: "" }));
  await stand.setPolicy({ permits: [permit], proxy: { host: PLACE.secret, port: 3128 } });
  await refusedBeforeTunnel("upstream-only.example.net:443", "address-refused");
  await stand.setPolicy({ permits });
});

test("a grant that goes ends what it opened; an unreadable policy permits nothing", async () => {
  const { socket } = await connectTo(stand.socketOf("fetcher"), "web.example.net:443");
  const tls = await secure(socket, { ca: stand.ca, servername: "web.example.net", host: "" });
  await stand.setPolicy({
    permits: [{ instrument: "fetcher", targets: ["cdn.example.net:443"], ...PERMIT }],
  });
  if (!tls.closed) await once(tls, "close");
  assert.equal((await stand.recordOf((r) => r.reason === "revoked")).host, "web.example.net");
  await refusedBeforeTunnel("web.example.net:443", "not-granted");
  await reaches("cdn.example.net", PLACE.web);
  await stand.setPolicy({ permits });
  await reaches("web.example.net", PLACE.web);
});

test("the SDK fetches by it, in TLS and in the clear, and tells a refusal by its reason", async () => {
  const options = { ca: stand.ca, socketPath: stand.socketOf("fetcher") };
  const textOf = async (url: string): Promise<string> => {
    let text = "";
    for await (const chunk of await requestThroughEgress(new URL(url), options)) text += String(chunk);
    return text;
  };
  assert.equal(await textOf("https://web.example.net/file?x"), "secure /file?x");
  assert.equal(await textOf("http://web.example.net/file"), "plain /file");
  const refused = (url: string, code: string, message: RegExp) =>
    assert.rejects(requestThroughEgress(new URL(url), options), { code, message });
  await refused("https://other.example.net/", "sdk-egress-refused", /not-granted/);
  await refused("http://other.example.net/", "sdk-egress-refused", /not-granted/);
  await refused("https://metadata.example.net/", "sdk-egress-refused", /address-refused/);
  await refused("ftp://web.example.net/", "sdk-egress-url", /ftp/);
  const untrusting = requestThroughEgress(new URL("https://web.example.net/"), {
    socketPath: options.socketPath,
  });
  await assert.rejects(untrusting, { code: "sdk-egress-failed" });
});

test("what cannot be recorded is not allowed, and nothing of it is lost", async () => {
  await stand.setReceiving(false);
  await reaches("web.example.net", PLACE.web);
  const from = stand.records.length;
  await stand.setReceiving(true);
  await stand.recordOf((r) => stand.records.indexOf(r) >= from && r.state === "closed");
});

test("killed, it comes back on the same sockets", async () => {
  await stand.restartProxy();
  await reaches("web.example.net", PLACE.web);
});
