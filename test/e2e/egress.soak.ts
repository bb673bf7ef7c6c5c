/**
 * Egress on a real sensor: an instrument without any interface fetches through egress.sock what the site grants and
 * nothing else; the proxy is alone in the namespace of its interface, out of reach of the host and of whatever is
 * private, also when it is taken over; killed it comes back, and it goes with its grant.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { access, readdir, readFile, readlink } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { capture, type Capture, eventually, runCommand } from "@bulkhead/testkit";
import * as z from "zod";
import { makeOutside, type Outside, PLACE } from "./outside.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";

const INSTALLATION = "egr-e2e";
const DEVICE = "bhegr0";
const Result = z.looseObject({
  url: z.string(),
  status: z.number().optional(),
  code: z.string().optional(),
  message: z.string().optional(),
  text: z.string().optional(),
});

let stand: SensorStand;
let outside: Outside;
/** Of all that leaves by the interface, from before it is taken until it is back. */
let wire: Capture;
const undo = new AsyncDisposableStack();

before(async () => {
  stand = undo.use(await makeSensorStand(INSTALLATION));
  outside = undo.use(await makeOutside(DEVICE));
  const file = join(stand.directory, "egress.pcap");
  wire = undo.use(await capture({ namespace: outside.namespace.name, device: "out1", file }));
});
after(() => undo.disposeAsync());

function site(granted: boolean): string {
  const urls = [
    "http://web.example.net/one",
    "http://other.example.net/two",
    "http://private.example.net/three",
  ];
  const hosts = "http://web.example.net:80, http://private.example.net:80, web.example.net:443";
  const egress = granted ? `egress: { through: feeds, hosts: [${hosts}] }, ` : "";
  return `apiVersion: bulkhead/v1
sensor: ${INSTALLATION}
interfaces:
  feeds:
    kind: egress
    device: ${DEVICE}
    address: { addresses: [${PLACE.proxy}/24], gateways: [${PLACE.dns}] }
    dns: [${PLACE.dns}]
    allow: [${hosts}, "http://other.example.net:80"]
instruments:
  probe: { package: fetch-probe, ${egress}config: { urls: ${JSON.stringify(urls)}, intervalMs: 1000 } }
  mute: { package: fetch-probe, config: { urls: ["http://web.example.net/mute"], intervalMs: 1000 } }
`;
}

async function lastOf(url: string, instrument = "probe"): Promise<z.infer<typeof Result> | null> {
  const events = await stand.events("fetch-probe.result", instrument);
  const found = events.map(({ data }) => Result.parse(data)).filter((result) => result.url === url);
  return found.at(-1) ?? null;
}

async function fetched(fromCount: number): Promise<void> {
  await eventually("the probe fetches", async () => {
    const events = await stand.events("fetch-probe.result", "probe");
    return events.slice(fromCount).some(({ data }) => Result.parse(data).status === 200) ? true : null;
  });
}

const fetchedSoFar = async (): Promise<number> => (await stand.events("fetch-probe.result", "probe")).length;
const namespaceFile = (): string => `/run/netns/${stand.layout.slug}-egress`;

/** Host pid of the proxy itself. */
async function proxyPid(): Promise<number> {
  return await eventually("the proxy runs", async () => {
    for (const pid of (await readdir("/proc")).filter((entry) => /^\d+$/.test(entry))) {
      const line = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
      if (line[0] !== "/program/node") continue;
      const { stdout } = await runCommand("ip", ["netns", "identify", pid]);
      if (stdout.trim() === `${stand.layout.slug}-egress`) return Number(pid);
    }
    return null;
  });
}

test("what the site grants is fetched, and nothing else", async () => {
  await stand.apply(site(true));
  await stand.settled();
  const one = await eventually("an answer", () => lastOf("http://web.example.net/one"));
  assert.deepEqual([one.status, one.text], [200, "plain /one"]);
  const two = await eventually("an answer", () => lastOf("http://other.example.net/two"));
  assert.match(two.message ?? "", /not-granted/);
  const three = await eventually("an answer", () => lastOf("http://private.example.net/three"));
  assert.match(three.message ?? "", /address-refused/);
  const mute = await eventually("an answer", () => lastOf("http://web.example.net/mute", "mute"));
  assert.match(mute.message ?? "", /ENOENT/);
});

test("the platform tells of connections and refusals, without a path, and audits refusals", async () => {
  const closed = await eventually(
    "an event",
    async () => (await stand.events("egress.connection", "platform")).at(-1) ?? null,
  );
  const refused = await eventually(
    "an event",
    async () => (await stand.events("egress.refused", "platform")).at(-1) ?? null,
  );
  assert.match(JSON.stringify(closed.data), /"instrument":"probe".*web\.example\.net/);
  assert.match(JSON.stringify(refused.data), /not-granted|address-refused/);
  assert.doesNotMatch(JSON.stringify([closed, refused]), /\/one|\/two|\/three/);
  for (const reason of [
    /not-granted.*other\.example\.net|other\.example\.net.*not-granted/,
    /address-refused/,
  ]) {
    await stand.audited("egress.refused", "probe", reason);
  }
});

test("the instrument has no interface and the proxy no other than its own", async () => {
  const inside = await readFile(`/proc/${await stand.initPid("probe")}/net/dev`, "utf8");
  assert.deepEqual(
    [...inside.matchAll(/^\s*(\w+):/gm)].map((m) => m[1]),
    ["lo"],
  );
  const { stdout } = await runCommand("nsenter", [`--net=${namespaceFile()}`, "--", "ip", "-o", "link"]);
  assert.deepEqual(
    [...stdout.matchAll(/^\d+: (\w+)/gm)].map((m) => m[1]),
    ["lo", "out0"],
  );
  assert.match(stdout, /lo: <LOOPBACK> /);
});

test("the proxy holds no capability, sees nothing of the host and no secret, and reaches nothing else as its user", async () => {
  const pid = await proxyPid();
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  assert.match(status, /CapEff:\t0+\n/);
  assert.match(status, /CapBnd:\t0+\n/);
  assert.match(status, /NoNewPrivs:\t1/);
  const uid = /Uid:\t(\d+)/.exec(status)?.[1] ?? "0";
  assert.notEqual(uid, "0");
  assert.deepEqual((await readdir(`/proc/${pid}/root`)).toSorted(), [
    "dev",
    "egress",
    "lib",
    "lib64",
    "program",
    "record",
    "usr",
  ]);
  assert.deepEqual((await readFile(`/proc/${pid}/environ`, "utf8")).split("\0").filter(Boolean).toSorted(), [
    "LC_ALL=C",
    "PWD=/",
  ]);

  // As one who took it over: its user, in its namespace, with any program.
  const connects = async (user: string, host: string, port: number): Promise<string> => {
    const script = `const s = require("node:net").connect({ host: "${host}", port: ${port} });
      s.on("connect", () => { console.log("reached"); process.exit(0); });
      s.on("error", (e) => { console.log(e.code); process.exit(0); });
      setTimeout(() => { console.log("nothing"); process.exit(0); }, 1500);`;
    const { stdout } = await runCommand("nsenter", [
      ...[
        `--net=${namespaceFile()}`,
        "--",
        "setpriv",
        `--reuid=${user}`,
        `--regid=${user}`,
        "--clear-groups",
        "--",
      ],
      ...[join(stand.layout.nodeDir, "bin", "node"), "-e", script],
    ]);
    return stdout.trim();
  };
  assert.equal(await connects(uid, PLACE.web, 443), "reached", "the control");
  const hostService = createServer();
  hostService.listen(0, "0.0.0.0");
  await once(hostService, "listening");
  const address = hostService.address();
  const hostPort = typeof address === "object" && address !== null ? address.port : 0;
  const settings = z
    .looseObject({ brokerPort: z.int() })
    .parse(JSON.parse(await readFile(stand.layout.settingsFile, "utf8")));
  for (const [host, port] of [
    ["127.0.0.1", hostPort],
    ["127.0.0.1", settings.brokerPort],
    [PLACE.web, 22],
    [PLACE.secret, 443],
    ["169.254.169.254", 80],
  ] as const) {
    assert.notEqual(await connects(uid, host, port), "reached", `${host} ${port}`);
  }
  assert.notEqual(await connects("65534", PLACE.web, 443), "reached", "no other user sends");
  hostService.close();
  // And nobody comes in: the outside finds no port, not even a closed one.
  const knock = `const s = require("node:net").connect({ host: "${PLACE.proxy}", port: 443 });
    s.on("connect", () => process.exit(0)); s.on("error", () => process.exit(1)); setTimeout(() => process.exit(1), 1500);`;
  const from = await outside.namespace.run(process.execPath, ["-e", knock]).then(
    () => "reached",
    () => "nothing",
  );
  assert.equal(from, "nothing");
});

test("killed, the proxy comes back; with warden it goes and comes; a flushed table is put back", async () => {
  let count = await fetchedSoFar();
  const first = await proxyPid();
  process.kill(first, "SIGKILL");
  await fetched(count);
  const second = await proxyPid();
  assert.notEqual(second, first);

  process.kill(await stand.processPid("warden"), "SIGKILL");
  await eventually("the proxy went with warden", async () =>
    access(`/proc/${second}`).then(
      () => null,
      () => true,
    ),
  );
  count = await fetchedSoFar();
  await fetched(count);
  assert.equal(await readlink(`/proc/${await proxyPid()}/exe`), "/program/node");

  await runCommand("nsenter", [
    `--net=${namespaceFile()}`,
    "--",
    "nft",
    "flush",
    "table",
    "inet",
    "bulkhead_egress",
  ]);
  // Chains keep their policy: nothing passes a flushed table.
  await stand.order("restart", "mute");
  await stand.settled();
  count = await fetchedSoFar();
  await fetched(count);
});

test("without a grant the proxy, its namespace and the socket are gone, and the device is back, down", async () => {
  await stand.apply(site(false));
  await stand.settled();
  const refused = await eventually("an answer", async () => {
    const last = await lastOf("http://web.example.net/one");
    return last?.status === undefined && last !== null ? last : null;
  });
  assert.match(refused.message ?? "", /ENOENT/);
  await assert.rejects(access(namespaceFile()));
  const { stdout } = await runCommand("ip", ["-o", "addr", "show", "dev", DEVICE]);
  assert.doesNotMatch(stdout, /inet /);
  assert.match((await runCommand("ip", ["-o", "link", "show", "dev", DEVICE])).stdout, /state DOWN/);
});

test("over start, attempts, kills, a flush and the end, nothing left by the interface but what was granted", async () => {
  await wire.stop();
  const links = await outside.namespace.ip("-j", "link", "show", "out1");
  const own = /"address":"([^"]+)"/.exec(links)?.[1] ?? "";
  const ours = (what: string) =>
    runCommand("tcpdump", ["-n", "-e", "-r", wire.file, `not ether src ${own} and (${what})`]);
  const web = `tcp and dst host ${PLACE.web} and (dst port 80 or dst port 443)`;
  assert.notEqual((await ours(web)).stdout, "", "the control");
  const granted = `arp or (${web}) or (dst host ${PLACE.dns} and dst port 53)`;
  assert.equal((await ours(`not (${granted})`)).stdout, "");
});
