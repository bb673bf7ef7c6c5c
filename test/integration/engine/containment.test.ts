/**
 * Containment on the real runtime: each variant of the profile reads back clean on a running container, what is inside
 * is refused by the kernel, and instruments cannot see each other.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";
import { isWardenError } from "../../../packages/warden/src/error.ts";
import { runtimeCommand } from "../../runtime.ts";
import { engineStand, type EngineStand, eventually } from "./engine-stand.ts";

const INSTRUMENT = 1000;
const MIB = 2 ** 20;
/** Refused in every variant, whoever asks: by name, the errno of the kernel's answer. */
const REFUSED: Readonly<Record<string, number>> = {
  "add-key": 1,
  bpf: 1,
  chroot: 1,
  "clone-user": 1,
  clone3: 38,
  fsopen: 1,
  "handle-at": 38,
  "init-module": 38,
  "io-uring": 38,
  kexec: 38,
  keyctl: 1,
  mknod: 1,
  mount: 1,
  "move-mount": 1,
  "open-tree": 1,
  "perf-event": 1,
  personality: 1,
  "pivot-root": 1,
  ptrace: 1,
  "remount-root": 1,
  "set-rlimit-open": 1,
  sethostname: 1,
  setns: 1,
  "socket-alg": 97,
  "socket-vsock": 97,
  "socket-vsock-high": 97,
  umount: 1,
  "unshare-net": 1,
  "unshare-user": 1,
  userfaultfd: 1,
};

suite("containment", () => {
  let stand: EngineStand;
  before(async () => {
    stand = await engineStand("t-contain");
  });
  after(() => stand?.[Symbol.asyncDispose]());

  const probe = async (instrument: string, uid: number): Promise<ReadonlyMap<string, readonly number[]>> => {
    const program = ["/usr/bin/perl", "/opt/instrument/files/probe.pl"];
    const { stdout } = await stand.exec(instrument, program, uid);
    return new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" "))
        .map(([name, result, errno]) => [name ?? "", [Number(result), Number(errno)]] as const),
    );
  };

  const assertRefused = async (instrument: string): Promise<void> => {
    for (const uid of [0, INSTRUMENT]) {
      const answers = await probe(instrument, uid);
      for (const [name, errno] of Object.entries(REFUSED)) {
        assert.deepEqual(answers.get(name), [-1, errno], `${instrument}: ${name} as uid ${uid}`);
      }
      // What must work shows that the refusals above are the kernel's, and not a program that fails.
      assert.ok((answers.get("socket-inet")?.[0] ?? -1) >= 0, "an ordinary socket opens");
      if (uid === INSTRUMENT) assert.deepEqual(answers.get("setuid-root"), [-1, 1]);
    }
  };

  const assertClean = async (instrument: string): Promise<void> => {
    const found = (await stand.instances.observe()).find((each) => each.name === instrument);
    assert.deepEqual(found?.deviations, []);
    assert.equal(found?.state, "running");
  };

  test("without a network: contained, and nothing opens", async () => {
    const volumes = [{ id: "store", kind: "persistent", sizeBytes: 16 * MIB }] as const;
    await stand.run(stand.spec("plain", { volumes: [...volumes] }));
    await assertClean("plain");
    await assertRefused("plain");
    const answers = await probe("plain", INSTRUMENT);
    assert.deepEqual(answers.get("socket-packet"), [-1, 1]);
    assert.deepEqual(answers.get("socket-raw"), [-1, 1]);
    const interfaces = await stand.exec("plain", ["/bin/busybox", "ip", "-o", "link"]);
    assert.match(interfaces.stdout, /^1: lo: <LOOPBACK,UP,/);
    assert.equal(interfaces.stdout.trim().split("\n").length, 1);
  });

  test("with a tap: packet sockets and rings, and nothing else; a wire changes nothing", async () => {
    await stand.run(stand.spec("tap", { capabilities: ["NET_RAW"], network: { kind: "mirror" } }));
    await assertClean("tap");
    await assertRefused("tap");
    const pid = await stand.pidOf("tap");
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    for (const set of ["CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"]) {
      assert.match(status, new RegExp(`^${set}:\\s+0000000000002000$`, "m"));
    }
    const answers = await probe("tap", 0);
    assert.ok((answers.get("socket-packet")?.[0] ?? -1) >= 0);
    assert.deepEqual(answers.get("ring-rx-plain"), [0, 0]);

    const wire = ["link", "add", "bhtcontain0", "type", "veth", "peer", "name", "bhtcontain1"];
    await stand.commands.run(["ip", ...wire]);
    await stand.commands.run(["ip", "link", "set", "bhtcontain1", "netns", String(pid), "name", "mon0"]);
    await assertClean("tap");
    const spare = ["link", "add", "bhtcontain2", "type", "veth", "peer", "name", "bhtcontain3"];
    await stand.commands.run(["ip", ...spare]);
    await stand.commands.run(["ip", "link", "set", "bhtcontain3", "netns", String(pid), "name", "eth9"]);
    const [found] = (await stand.instances.observe()).filter((each) => each.name === "tap");
    assert.deepEqual(found?.deviations, ['the interface "eth9" is not in the profile']);
  });

  test("packet rings are denied where there is no tap, however the arguments are written", async () => {
    // Packet sockets do not open there, so the rule is shown on a tap's container whose denials are those of the others.
    const { renderSyscallDenials } = await import("../../../packages/warden/src/engine/syscall-denials.ts");
    await stand.run(stand.spec("ring", { capabilities: ["NET_RAW"], network: { kind: "mirror" } }));
    await stand.instances.stop("ring");
    const denials = renderSyscallDenials(false);
    const inProject = (...args: readonly string[]) =>
      stand.commands.run(runtimeCommand(["--project", stand.layout.slug, ...args]));
    await inProject("config", "set", "ring", `security.syscalls.deny=${denials}`);
    await inProject("start", "ring");
    const answers = await probe("ring", 0);
    const rings = [...answers].filter(([name]) => name.startsWith("ring-"));
    assert.equal(rings.length, 6);
    for (const [name, answer] of rings) assert.deepEqual(answer, [-1, 1], name);
    await stand.instances.remove("ring");
  });

  test("a capture engine joins its namespace, holds nothing, and leaves it when it dies", async () => {
    const spec = stand.spec("engine", { network: { kind: "engine" } });
    const netns = `${stand.layout.slug}-engine`;
    await assert.rejects(stand.run(spec), (error) => isWardenError(error, "instrument-netns-missing"));
    await stand.commands.run(["ip", "netns", "add", netns]);
    after(() => stand.commands.run(["ip", "netns", "del", netns]).catch(() => undefined));
    await stand.commands.run([
      "ip",
      "-n",
      netns,
      "link",
      "add",
      "span0",
      "type",
      "veth",
      "peer",
      "name",
      "x0",
    ]);
    await stand.run(spec);
    await assertClean("engine");
    await assertRefused("engine");
    const answers = await probe("engine", 0);
    assert.deepEqual(answers.get("socket-packet"), [-1, 1]);
    const counters = await stand.exec("engine", ["/bin/busybox", "cat", "/proc/net/dev"], INSTRUMENT);
    assert.match(counters.stdout, /span0:/);
    const up = await stand.exec("engine", ["/bin/busybox", "ip", "link", "set", "span0", "up"]);
    assert.notEqual(up.exitCode, 0);

    process.kill(await stand.pidOf("engine"), "SIGKILL");
    await eventually(
      () => stand.instances.observe(),
      (all) => all.find((each) => each.name === "engine")?.state === "stopped",
    );
    await stand.commands.run(["ip", "-n", netns, "link", "show", "span0"]);
    await stand.instances.start("engine");
    await assertClean("engine");

    await stand.commands.run(["ip", "netns", "del", netns]);
    await stand.commands.run(["ip", "netns", "add", netns]);
    const replaced = (await stand.instances.observe()).find((each) => each.name === "engine");
    assert.match(replaced?.deviations.join() ?? "", /^the network namespace is net:\[\d+\], not that of/);
  });

  test("the root is read-only, and only what the instrument was given is there", async () => {
    const write = async (path: string, uid: number) =>
      (await stand.exec("plain", ["/bin/busybox", "touch", path], uid)).exitCode;
    for (const uid of [0, INSTRUMENT]) {
      for (const path of [
        "/x",
        "/etc/x",
        "/opt/node/x",
        "/inbox/x",
        "/run/bulkhead/x",
        "/opt/instrument/x",
      ]) {
        assert.notEqual(await write(path, uid), 0, `${path} as uid ${uid}`);
      }
    }
    for (const path of ["/tmp/x", "/run/x", "/dev/shm/x", "/data/store/x"]) {
      assert.equal(await write(path, INSTRUMENT), 0, path);
    }
    assert.notEqual(await write("/data/x", INSTRUMENT), 0);
    // A program in memory cannot be run.
    const copy = await stand.exec("plain", ["/bin/busybox", "cp", "/bin/busybox", "/tmp/b"], INSTRUMENT);
    assert.equal(copy.exitCode, 0);
    assert.notEqual((await stand.exec("plain", ["/tmp/b", "true"], INSTRUMENT)).exitCode, 0);

    const { socketsDir } = stand.layout;
    await mkdir(join(socketsDir, "other"), { recursive: true });
    await writeFile(join(socketsDir, "plain", "own"), "");
    await writeFile(join(socketsDir, "other", "foreign"), "");
    const seen = await stand.exec("plain", ["/bin/busybox", "ls", "/run/bulkhead"], INSTRUMENT);
    assert.equal(seen.stdout.trim(), "own");
  });

  test("id ranges do not overlap, and data on the host is owned by its own range alone", async () => {
    const [plain, tap] = [await stand.idmaps.recordedBase("plain"), await stand.idmaps.recordedBase("tap")];
    assert.ok(plain !== null && tap !== null && Math.abs(plain - tap) >= 65_536);
    const map = await readFile(`/proc/${await stand.pidOf("plain")}/uid_map`, "utf8");
    assert.equal(map.trim().split(/\s+/).join(" "), `0 ${plain} 65536`);
    const data = await stat(stand.volumes.dataDir({ instrument: "plain", id: "store" }));
    assert.equal(data.uid, plain + INSTRUMENT);
    assert.equal(data.mode & 0o777, 0o700);
  });

  test("what the first process prints is kept nowhere", async () => {
    const pid = await stand.pidOf("plain");
    assert.equal((await stat(`/proc/${pid}/fd/1`)).rdev, (await stat("/dev/null")).rdev);
  });
});
