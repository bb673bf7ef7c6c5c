/** Attempts of an instrument with a port on a segment to reach what the site does not name, and to be reached. */
import type { InstrumentSpec } from "@bulkhead/schema";
import type { Attempt } from "../attempt.ts";
import { byBoth, bytes } from "./acts.ts";

const CANARY = { kind: "canary" } as const;
const RULES: Attempt["layers"] = ["segment-rules", "instrument-rules"];
const hasPort = (spec: InstrumentSpec): boolean => spec.network.kind === "port";
/** Silence: its rules drop what it sends, and nobody answers. */
const TCP_STOPPED = ["ETIMEDOUT", "EPERM", "EHOSTUNREACH", "ENETUNREACH"] as const;
/** A datagram is taken by its own kernel, and dropped at the segment's end: the far side is the witness. */
const UDP_STOPPED = ["EPERM", "done"] as const;
/** Port that no site lets anybody in by: of the test, and nobody's service. */
const UNDECLARED = 17_979;

const TCP: readonly {
  readonly id: string;
  readonly host: string;
  readonly means: string;
  readonly other?: true;
}[] = [
  {
    id: "segment-machine",
    host: "192.0.2.53",
    means: "Connect to a machine of its segment that the site does not name.",
  },
  {
    id: "segment-machine-ipv6",
    host: "2001:db8:7::53",
    means: "Connect to a machine of its segment that the site does not name, over IPv6.",
  },
  {
    id: "cloud-metadata",
    host: "169.254.169.254",
    means: "Ask the cloud's metadata service for the host's credentials.",
  },
  {
    id: "other-instrument",
    host: "198.51.100.54",
    means: "Connect to another instrument's port on the same segment.",
    other: true,
  },
];

const UDP: readonly { readonly id: string; readonly host: string; readonly means: string }[] = [
  { id: "resolver", host: "192.0.2.53", means: "Send a datagram to a resolver, the way of DNS tunnels." },
  { id: "broadcast", host: "192.0.2.255", means: "Shout to everybody on the segment (broadcast)." },
  { id: "ipv6", host: "2001:db8:7::53", means: "Send a datagram to a machine of the segment over IPv6." },
];

export const SEGMENT: readonly Attempt[] = [
  ...TCP.flatMap(({ id, host, means, other }) =>
    byBoth({
      id: `port-tcp-${id}`,
      group: "network",
      means,
      expected: TCP_STOPPED,
      layers: other === true ? [...RULES, "port-isolation"] : RULES,
      control: CANARY,
      applies: hasPort,
      witness: { kind: "decoy", name: `tcp ${host}` },
      run: (machine, { decoyPort }) => machine.tcp(host, decoyPort),
    }),
  ),
  ...UDP.flatMap(({ id, host, means }) =>
    byBoth({
      id: `port-udp-${id}`,
      group: "network",
      means,
      expected: UDP_STOPPED,
      layers: RULES,
      control: CANARY,
      applies: hasPort,
      witness: { kind: "decoy", name: "udp" },
      run: async (machine, { decoyPort }) => {
        const deed = await machine.udp(host, decoyPort);
        await new Promise((resolve) => setTimeout(resolve, 250));
        return deed;
      },
    }),
  ),
  ...byBoth({
    id: "port-undeclared-service",
    group: "network",
    means: "Offer a service to the segment that the site does not name, as a back door.",
    // Its own kernel lets it listen; what counts is that nobody gets in.
    expected: ["done"],
    layers: RULES,
    control: CANARY,
    applies: hasPort,
    witness: { kind: "decoy", name: "knock answered" },
    run: (machine) => machine.listen(UNDECLARED, 1_200),
  }),
  ...byBoth({
    id: "port-foreign-sender",
    group: "network",
    means: "Send from an address that is not its own, by an ordinary socket.",
    expected: ["ENETUNREACH", "EINVAL", "EPERM", "EADDRNOTAVAIL"],
    layers: RULES,
    control: {
      kind: "none",
      why: "the kernel itself refuses the address; a frame with it, by the host's root, has a control",
    },
    applies: hasPort,
    witness: { kind: "frames" },
    run: (machine) => {
      const socket = machine.call("socket", 2, 2, 0).value;
      // IP_FREEBIND of <linux/in.h>, then sockaddr_in of 192.0.2.99, which is nobody's
      machine.call("setsockopt", socket, 0, 15, bytes(4, [0, 4, 1]), 4);
      const bound = machine.call("bind", socket, Buffer.from("02000000c00002630000000000000000", "hex"), 16);
      const to = Buffer.from("02001f2bc00002350000000000000000", "hex");
      const sent = machine.call("sendto", socket, "forged", 6, 0, to, to.length);
      machine.call("close", socket);
      return { answer: bound.errno ?? sent.errno ?? "done" };
    },
  }),
  {
    id: "port-connection-table",
    group: "resources",
    means: "Fill the kernel's table of connections by a thousand flows to where nothing is granted.",
    actor: "user",
    expected: ["EPERM"],
    layers: RULES,
    control: {
      kind: "none",
      why: "without the rules in its namespace there is no table of connections there",
    },
    applies: hasPort,
    witness: {
      kind: "network",
      what: "conntrack",
      pattern: "^\\d{3,}",
      unshown: "there is no control",
    },
    run: (machine) => {
      const socket = machine.call("socket", 2, 2, 0).value;
      const answers = new Set<string>();
      for (let port = 20_000; port < 21_000; port += 1) {
        const to = Buffer.from(`0200${port.toString(16).padStart(4, "0")}c00002350000000000000000`, "hex");
        answers.add(machine.call("sendto", socket, "x", 1, 0, to, to.length).errno ?? "done");
      }
      machine.call("close", socket);
      return { answer: answers.size === 1 ? ([...answers][0] ?? "done") : "done" };
    },
  },
];
