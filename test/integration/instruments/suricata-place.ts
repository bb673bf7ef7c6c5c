/**
 * A place for Suricata's agent without a container: its real image unpacked, in a network namespace
 * of its own, as uid 1000 with NET_RAW alone; and a small network whose traffic is mirrored to it.
 *
 *   client ── veth ── server ── (tc mirror) ── veth ── mon0 of the sensor
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { chown, link, mkdir, mkdtemp, readdir, readlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildCatalogue } from "@bulkhead/images";
import { HOST_LAYOUT } from "@bulkhead/schema";
import {
  joinByVeth,
  makeNamespace,
  namespacePath,
  runCommand,
  type NetworkNamespace,
} from "@bulkhead/testkit";
import { runAgent, type AgentProcess } from "../sdk/agent-process.ts";

const INSTRUMENTS = join(import.meta.dirname, "../../../instruments");
const UID = 1000;
export const SERVER_ADDRESS = "10.77.0.2";

export interface SuricataPlace extends AsyncDisposable {
  readonly root: string;
  readonly client: NetworkNamespace;
  readonly sensor: NetworkNamespace;
  /** Makes the mirror's wire: its end `mon0` comes up in the sensor's namespace. */
  connectTap(): Promise<void>;
  disconnectTap(): Promise<void>;
  /** Files as the platform delivers them; returns the version's name. */
  deliver(version: string, files: Readonly<Record<string, string>>): Promise<void>;
  /** Where the bus gate's socket has to be, as seen from outside. */
  readonly busSocket: string;
  start(instrument: string): AgentProcess;
  /** Pids of Suricata inside, running or checking. */
  suricataPids(): Promise<readonly number[]>;
  /** The client does this; see suricata-traffic.ts. */
  traffic(...words: readonly string[]): Promise<void>;
}

export async function openSuricataPlace(): Promise<SuricataPlace> {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "bh-test-suricata-"));
  stack.defer(() => runCommand("rm", ["-rf", "--one-file-system", dir]).then(() => undefined));
  const root = await unpackImage(dir);
  const client = stack.use(await makeNamespace());
  const server = stack.use(await makeNamespace());
  const sensor = stack.use(await makeNamespace());
  await joinByVeth(
    { namespace: client, device: "eth0", addresses: ["10.77.0.1/24"] },
    { namespace: server, device: "eth0", addresses: [`${SERVER_ADDRESS}/24`] },
  );
  await mount(stack, ["-t", "proc", "proc"], join(root, "proc"));
  // Nodes of its own, never the host's /dev: what removes this tree could reach through a mount.
  for (const [name, minor] of [
    ["null", "3"],
    ["urandom", "9"],
  ] as const) {
    await runCommand("mknod", ["-m", "666", join(root, "dev", name), "c", "1", minor]);
  }
  await mount(stack, ["-t", "sysfs", "sysfs"], join(root, "sys"), sensor);
  await mkdir(join(root, "run/bulkhead"), { recursive: true });
  stack.defer(() => killBelow(root));
  const responder = await startServer(server);
  stack.defer(() => stopChild(responder));
  const owned = stack.move();
  return {
    root,
    client,
    sensor,
    connectTap: () => connectTap(server, sensor),
    disconnectTap: async () => void (await server.ip("link", "del", "tap0")),
    deliver: async (version, files) => {
      const inbox = join(root, "inbox", version);
      await mkdir(inbox, { recursive: true });
      for (const [name, text] of Object.entries(files)) await writeFile(join(inbox, name), text);
    },
    busSocket: join(root, "run/bulkhead/bus.sock"),
    start: (instrument) => {
      const inside = ["/usr/bin/tini", "-s", "--", "/opt/node/bin/node", "/opt/instrument/agent.cjs"];
      const enter = [`--net=${namespacePath(sensor.name)}`, "--", "chroot", root];
      return runAgent(["nsenter", ...enter, ...SETPRIV, ...inside], {
        PATH: "/usr/bin:/bin:/usr/sbin:/sbin",
        BULKHEAD_INSTRUMENT: instrument,
        BULKHEAD_BUS_SOCKET: "/run/bulkhead/bus.sock",
      });
    },
    suricataPids: () => pidsBelow(root, "/usr/bin/suricata"),
    traffic: async (...words) => {
      await client.run(process.execPath, [join(import.meta.dirname, "suricata-traffic.ts"), ...words], {
        timeoutMs: 120_000,
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** As the platform starts an instrument with a tap. */
const SETPRIV = [
  "/usr/bin/setpriv",
  `--reuid=${UID}`,
  `--regid=${UID}`,
  "--clear-groups",
  "--inh-caps=-all,+net_raw",
  "--ambient-caps=-all,+net_raw",
  "--bounding-set=-all,+net_raw",
  "--no-new-privs",
  "--",
];

async function unpackImage(dir: string): Promise<string> {
  const catalogueDir = join(dir, "catalogue");
  const packages = ["suricata"];
  const { cacheDir } = HOST_LAYOUT;
  await buildCatalogue({ instrumentsDir: INSTRUMENTS, catalogueDir, cacheDir, packages });
  const root = join(dir, "root");
  await mkdir(root);
  await runCommand("tar", ["-xf", join(catalogueDir, "suricata/rootfs.tar"), "-C", root]);
  await runCommand("rm", ["-rf", catalogueDir]);
  await mkdir(join(root, "opt/node/bin"), { recursive: true });
  await link(process.execPath, join(root, "opt/node/bin/node")).catch(() =>
    runCommand("cp", [process.execPath, join(root, "opt/node/bin/node")]),
  );
  for (const need of ["run", "rules"]) await chown(join(root, "data", need), UID, UID);
  return root;
}

async function connectTap(server: NetworkNamespace, sensor: NetworkNamespace): Promise<void> {
  await joinByVeth(
    { namespace: server, device: "tap0" },
    { namespace: sensor, device: "mon0" },
    { mtu: 16_384 },
  );
  const known = await server.tc("qdisc", "show", "dev", "eth0");
  if (known.includes("clsact")) await server.tc("qdisc", "del", "dev", "eth0", "clsact");
  await server.tc("qdisc", "add", "dev", "eth0", "clsact");
  for (const direction of ["ingress", "egress"]) {
    const mirror = ["action", "mirred", "egress", "mirror", "dev", "tap0"];
    const all = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144", "classid", "1:1"];
    await server.tc("filter", "add", "dev", "eth0", direction, ...all, ...mirror);
  }
}

async function startServer(server: NetworkNamespace): Promise<ChildProcess> {
  const program = [process.execPath, join(import.meta.dirname, "suricata-traffic.ts"), "serve"];
  const child = spawn("nsenter", [`--net=${namespacePath(server.name)}`, "--", ...program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(child.stdout, "data"); // it says when it listens
  return child;
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

async function mount(
  stack: AsyncDisposableStack,
  what: readonly string[],
  target: string,
  namespace?: NetworkNamespace,
): Promise<void> {
  await mkdir(target, { recursive: true });
  const args = [...what, target];
  // A sysfs shows the network namespace that it was mounted in.
  if (namespace === undefined) await runCommand("mount", args);
  else await namespace.run("mount", args);
  stack.defer(() => runCommand("umount", ["-l", target]).then(() => undefined));
}

async function pidsBelow(root: string, program?: string): Promise<readonly number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const where = await readlink(`/proc/${pid}/root`).catch(() => "");
      const runs = await readlink(`/proc/${pid}/exe`).catch(() => "");
      return where === root && (program === undefined || runs === `${root}${program}`) ? [Number(pid)] : [];
    }),
  );
  return found.flat();
}

/** Processes of this very root tree: the agent and what it started. */
async function killBelow(root: string): Promise<void> {
  for (;;) {
    const pids = await pidsBelow(root);
    if (pids.length === 0) return;
    for (const pid of pids) {
      try {
        process.kill(pid, "SIGKILL");
      } catch (error) {
        assert.equal((error as NodeJS.ErrnoException).code, "ESRCH"); // gone by itself
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
