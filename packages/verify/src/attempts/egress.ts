/** Attempts to get further through the egress proxy than was granted: `granted.invalid` port 443, in TLS. */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { Machine } from "../adversary/machine.ts";
import type { Attempt } from "../attempt.ts";

const SOCKET = "/run/bulkhead/egress.sock";
/** The proxy asks a resolver and connects before it answers. */
const WAIT_MS = 3_000;
const PUBLIC = "93.184.215.14";
const GRANTED = "granted.invalid:443";
const hasEgress = (spec: InstrumentSpec): boolean => spec.egress;
const RULED_OUT =
  "the stand-in's machines are in a namespace that leads nowhere; no name that exists is asked for";

function attempt(
  id: string,
  means: string,
  reached: string,
  run: Attempt["run"],
  more: Partial<Attempt> = {},
): Attempt {
  return {
    id: `egress-${id}`,
    group: "network",
    means,
    actor: "user",
    expected: ["refused"],
    layers: ["egress-proxy"],
    control: { kind: "canary" },
    applies: hasEgress,
    witness: { kind: "decoy", name: reached },
    run,
    ...more,
  };
}

/** CONNECT, and what follows once the proxy has agreed; refused where it did not, or has closed. */
function tunnel(authority: string, ...then: readonly Uint8Array[]): Attempt["run"] {
  return async (machine: Machine) => {
    const head = Buffer.from(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`);
    const said = await machine.talk(SOCKET, [head, ...then], WAIT_MS);
    const open = said.startsWith("HTTP/1.1 200") && !said.endsWith("closed");
    return { answer: open ? "done" : "refused", detail: said.slice(0, 60).replaceAll(/\s+/g, " ") };
  };
}

export const EGRESS: readonly Attempt[] = [
  attempt(
    "other-host",
    "Fetch from a host that was not granted.",
    `reached ${PUBLIC}:443`,
    tunnel("other.invalid:443"),
  ),
  attempt(
    "other-port",
    "Reach another service of the host that was granted.",
    `reached ${PUBLIC}:8443`,
    tunnel("granted.invalid:8443"),
  ),
  attempt(
    "address",
    "Name an address in place of a host, around every name that was granted.",
    `reached ${PUBLIC}:443`,
    tunnel(`${PUBLIC}:443`),
  ),
  attempt(
    "private-address",
    "Reach the operator's own network by a granted name that leads there.",
    "reached 10.66.0.5:443",
    tunnel("private.invalid:443", hello("private.invalid")),
  ),
  attempt(
    "cloud-metadata",
    "Reach the cloud's metadata service by a granted name that leads there.",
    "reached 169.254.169.254:443",
    tunnel("metadata.invalid:443", hello("metadata.invalid")),
  ),
  attempt(
    "changing-answer",
    "Have a name lead elsewhere after it was looked at (DNS rebinding).",
    "reached 10.66.0.5:443",
    async (machine, params) => {
      for (let times = 0; times < 2; times += 1)
        await tunnel("changing.invalid:443", hello("changing.invalid"))(machine, params);
      return await tunnel("changing.invalid:443", hello("changing.invalid"))(machine, params);
    },
  ),
  attempt(
    "other-name",
    "Ask the granted host for another one that is served there (server name in TLS).",
    `data ${PUBLIC}:443`,
    tunnel(GRANTED, hello("other.invalid")),
  ),
  attempt(
    "no-name",
    "Leave out the server name in TLS, so that nobody sees whom it means.",
    `data ${PUBLIC}:443`,
    tunnel(GRANTED, hello(null)),
  ),
  attempt(
    "plain-protocol",
    "Speak another protocol through the tunnel, as a remote shell.",
    `data ${PUBLIC}:443`,
    tunnel(GRANTED, Buffer.from("SSH-2.0-bulkhead-verify\r\n")),
  ),
  attempt(
    "clear-text",
    "Use a grant for TLS for a request in the clear.",
    `data ${PUBLIC}:443`,
    async (machine) => {
      const request = Buffer.from(
        "GET http://granted.invalid:443/ HTTP/1.1\r\nHost: granted.invalid\r\n\r\n",
      );
      const said = await machine.talk(SOCKET, [request], WAIT_MS);
      return { answer: said.startsWith("HTTP/1.1 4") ? "refused" : "done", detail: said.slice(0, 60) };
    },
    { control: { kind: "none", why: `the stand-in without a proxy knows CONNECT alone; ${RULED_OUT}` } },
  ),
  attempt(
    "second-request",
    "Hide a second request behind the first one.",
    `reached ${PUBLIC}:8443`,
    async (machine) => {
      const two = ["other.invalid:443", "granted.invalid:8443"].map(
        (authority) => `CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n\r\n`,
      );
      const said = await machine.talk(SOCKET, [Buffer.from(two.join(""))], WAIT_MS);
      return { answer: said.includes(" 200 ") ? "done" : "refused", detail: said.slice(0, 60) };
    },
    {
      control: {
        kind: "none",
        why: "each request alone has a control; both are refused for the same reason",
      },
    },
  ),
  attempt(
    "others-socket",
    "Use another instrument's way out.",
    `reached ${PUBLIC}:443`,
    async (machine) => {
      const deed = await machine.unix("/run/bulkhead/egress/../../egress/sockets/other/egress.sock");
      return { ...deed, answer: deed.answer === "ENOENT" ? "refused" : deed.answer };
    },
    {
      layers: ["mount-namespace"],
      control: { kind: "none", why: "no form of the profile shows a canary the directory of another" },
    },
  ),
];

/** A ClientHello of TLS 1.3 (RFC 8446, section 4.1.2) with this server name (RFC 6066, section 3), or none. */
function hello(name: string | null): Buffer {
  const two = (value: number) => Buffer.from([value >> 8, value & 0xff]);
  const sized = (body: Buffer) => Buffer.concat([two(body.length), body]);
  const extension = (type: number, body: Buffer) => Buffer.concat([two(type), sized(body)]);
  const serverName =
    name === null ? [] : [extension(0, sized(Buffer.concat([Buffer.from([0]), sized(Buffer.from(name))])))];
  const extensions = Buffer.concat([...serverName, extension(43, Buffer.from([2, 3, 4]))]);
  const body = Buffer.concat([
    Buffer.from([3, 3]),
    Buffer.alloc(32, 7),
    Buffer.from([0]),
    sized(Buffer.from([0x13, 0x01])),
    Buffer.from([1, 0]),
    sized(extensions),
  ]);
  const handshake = Buffer.concat([Buffer.from([1, 0]), two(body.length), body]);
  return Buffer.concat([Buffer.from([22, 3, 1]), sized(handshake)]);
}
