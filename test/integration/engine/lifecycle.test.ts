/**
 * Life of a container on the real runtime: idempotent steps, ends of every kind, events, and deviations that are found
 * by the runtime's word or by the kernel's alone.
 */
import assert from "node:assert/strict";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { after, before, suite, test } from "node:test";
import { parseMountinfo } from "../../../packages/warden/src/engine/mountinfo.ts";
import type { RuntimeEvent } from "../../../packages/warden/src/engine/runtime-events.ts";
import { isWardenError } from "../../../packages/warden/src/error.ts";
import { runtimeCommand } from "../../runtime.ts";
import { engineStand, type EngineStand, eventually, specDigest } from "./engine-stand.ts";

const MIB = 2 ** 20;
const BUSYBOX = "/bin/busybox";
const script = (name: string) => [BUSYBOX, "sh", `/opt/instrument/files/${name}`];

suite("lifecycle", () => {
  let stand: EngineStand;
  before(async () => {
    stand = await engineStand("t-life");
  });
  after(() => stand?.[Symbol.asyncDispose]());

  const observe = async (name: string) =>
    (await stand.instances.observe()).find((each) => each.name === name);
  const config = (name: string, ...changes: readonly string[]) =>
    stand.commands.run(runtimeCommand(["--project", stand.layout.slug, "config", "set", name, ...changes]));

  test("each step may be taken twice, and a removed instrument leaves its data", async () => {
    const volumes = [
      { id: "store", kind: "persistent" as const, sizeBytes: 16 * MIB },
      { id: "run", kind: "transient" as const, sizeBytes: 16 * MIB },
    ];
    const spec = stand.spec("twice", { volumes, command: script("loop.sh") });
    await stand.run(spec);
    await stand.instances.create(spec, specDigest(spec));
    const before = await stand.pidOf("twice");
    await stand.instances.start("twice");
    assert.equal(await stand.pidOf("twice"), before, "a second start restarts nothing");
    await assert.rejects(stand.instances.create(spec, "0".repeat(64)), (error) =>
      isWardenError(error, "instrument-exists"),
    );
    await stand.exec("twice", [BUSYBOX, "touch", "/data/run/gone"], 1000);

    await stand.instances.stop("twice");
    await stand.instances.stop("twice");
    assert.equal((await observe("twice"))?.state, "stopped");
    assert.deepEqual(
      (await stand.volumes.observe()).map(({ id, mounted }) => [id, mounted]),
      [["store", false]],
    );
    await stand.instances.start("twice");
    const mark = await stand.exec("twice", [BUSYBOX, "cat", "/data/store/mark"], 1000);
    assert.equal(mark.stdout, "ended\n", "it ended by itself on SIGTERM, and its data stayed");
    const gone = await stand.exec("twice", [BUSYBOX, "ls", "/data/run"], 1000);
    assert.doesNotMatch(gone.stdout, /gone/);

    const base = await stand.idmaps.recordedBase("twice");
    await stand.instances.remove("twice");
    await stand.instances.remove("twice");
    assert.equal(await observe("twice"), undefined);
    await stand.run(spec);
    assert.equal(await stand.idmaps.recordedBase("twice"), base, "the id range stays the instrument's");
    const kept = await stand.exec("twice", [BUSYBOX, "cat", "/data/store/mark"], 1000);
    assert.equal(kept.stdout, "ended\n");
    await stand.instances.remove("twice");
  });

  test("an end by SIGKILL is seen as stopped, in observation and as an event", async () => {
    const spec = stand.spec("killed", { volumes: [{ id: "run", kind: "transient", sizeBytes: 16 * MIB }] });
    await stand.run(spec);
    await stand.exec("killed", [BUSYBOX, "touch", "/data/run/gone"], 1000);
    const stopping = new AbortController();
    const events: RuntimeEvent[] = [];
    const reading = (async () => {
      for await (const event of stand.client.events(stopping.signal)) events.push(event);
    })();
    await eventually(
      async () => events,
      (all) => all.some(({ kind }) => kind === "resync"),
    );
    process.kill(await stand.pidOf("killed"), "SIGKILL");
    await eventually(
      () => observe("killed"),
      (found) => found?.state === "stopped" && found.pid === null && found.deviations.length === 0,
    );
    await eventually(
      async () => events,
      (all) => all.some((e) => e.kind === "lifecycle" && e.instance === "killed"),
    );
    stopping.abort();
    await reading;
    await stand.instances.start("killed");
    const left = await stand.exec("killed", [BUSYBOX, "ls", "/data/run"], 1000);
    assert.doesNotMatch(left.stdout, /gone/, "what a dead instrument left in a transient volume is gone");
    await stand.instances.remove("killed");
  });

  test("one that does not listen, and one that is frozen, are stopped all the same", async () => {
    await stand.run(stand.spec("stubborn", { command: script("stubborn.sh") }));
    await stand.instances.stop("stubborn");
    assert.equal((await observe("stubborn"))?.state, "stopped");
    await stand.instances.start("stubborn");
    await stand.client.put("/1.0/instances/stubborn/state", { action: "freeze", timeout: 10 });
    assert.equal((await observe("stubborn"))?.state, "frozen");
    await stand.instances.stop("stubborn");
    assert.equal((await observe("stubborn"))?.state, "stopped");
    await stand.instances.remove("stubborn");
  });

  test("a program that ends at once leaves nothing mounted", async () => {
    const spec = stand.spec("absent", {
      command: ["/nothing/here"],
      volumes: [{ id: "run", kind: "transient", sizeBytes: 16 * MIB }],
    });
    await assert.rejects(stand.run(spec), (error) => isWardenError(error, "instrument-ended"));
    assert.equal((await observe("absent"))?.state, "stopped");
    const left = (await stand.volumes.observe()).filter(({ instrument }) => instrument === "absent");
    assert.deepEqual(left, []);
    await stand.instances.remove("absent");
    await assert.rejects(stand.instances.start("absent"), (error) =>
      isWardenError(error, "instrument-unknown"),
    );
  });

  test("an image that is not there makes no container and no record", async () => {
    const spec = stand.spec("imageless", { imageDigest: "0".repeat(64) });
    await assert.rejects(stand.instances.create(spec, specDigest(spec)), (error) => isWardenError(error));
    assert.equal(await observe("imageless"), undefined);
    await assert.rejects(readFile(`${stand.layout.wardenDir}/instruments/imageless.json`), {
      code: "ENOENT",
    });
  });

  test("changes of the container's config are found, and such a container does not start", async () => {
    await stand.run(stand.spec("changed"));
    await config("changed", "security.nesting=true");
    assert.deepEqual((await observe("changed"))?.deviations, ['security.nesting is "true", not "false"']);
    await assert.rejects(stand.instances.start("changed"), (error) =>
      isWardenError(error, "instrument-deviates"),
    );
    assert.equal((await observe("changed"))?.state, "stopped", "it was stopped");
    await assert.rejects(stand.instances.start("changed"), (error) =>
      isWardenError(error, "instrument-deviates"),
    );
    assert.equal((await observe("changed"))?.state, "stopped");
    await config("changed", "security.nesting=false");
    await stand.instances.start("changed");

    await config("changed", "limits.memory=");
    assert.deepEqual((await observe("changed"))?.deviations, [
      'limits.memory is unset, not "67108864"',
      "memory is limited to nothing, not 67108864",
    ]);
    await config("changed", "limits.memory=67108864", "user.other=1");
    assert.deepEqual((await observe("changed"))?.deviations, ['user.other is "1", but not in the profile']);
    await stand.instances.remove("changed");
  });

  test("what only the kernel tells is found as well", async () => {
    await stand.run(stand.spec("altered"));
    const pid = await stand.pidOf("altered");
    const pids = await pidsLimitFile(pid);
    await writeFile(pids, "max");
    assert.deepEqual((await observe("altered"))?.deviations, ["processes are limited to nothing, not 32"]);
    await writeFile(pids, "32");
    assert.deepEqual((await observe("altered"))?.deviations, []);

    const inside = (...argv: readonly string[]) =>
      stand.commands.run(["nsenter", `--mount=/proc/${pid}/ns/mnt`, "--", ...argv]);
    await inside("/bin/busybox", "mount", "-t", "tmpfs", "none", "/tmp");
    await inside("/bin/busybox", "mount", "-t", "tmpfs", "none", "/var/log");
    assert.deepEqual((await observe("altered"))?.deviations.toSorted(), [
      "/tmp is mounted over",
      "/var/log is mounted, but not in the profile",
    ]);
    await stand.instances.remove("altered");
  });

  test("a container that somebody else made in the project is not taken for an instrument", async () => {
    const [image] = await stand.images.observeImages();
    const source = { type: "image", fingerprint: image };
    const root = { type: "disk", path: "/", pool: stand.layout.slug };
    const body = { name: "foreign", type: "container", source, profiles: [], config: {}, devices: { root } };
    await stand.client.post("/1.0/instances", body);
    const found = await observe("foreign");
    assert.equal(found?.specDigest, null);
    assert.deepEqual(found?.deviations, ["it was not made by this installation"]);
    await assert.rejects(stand.instances.start("foreign"), (error) =>
      isWardenError(error, "instrument-unknown"),
    );
    await stand.instances.remove("foreign");
    assert.deepEqual(await readdir(stand.layout.poolDir + "/containers"), []);
  });
});

/** Of the process's own group, in either version of control groups. */
async function pidsLimitFile(pid: number): Promise<string> {
  const membership = await readFile(`/proc/${pid}/cgroup`, "utf8");
  const mounts = parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
  const v1 = mounts.find((mount) => mount?.type === "cgroup" && mount.superOptions.has("pids"));
  const mount = v1 ?? mounts.find((each) => each?.type === "cgroup2");
  const pattern = v1 === undefined ? /^0::(.*)$/m : /^\d+:(?:[^:]*,)?pids(?:,[^:]*)?:(.*)$/m;
  return `${mount?.path}${pattern.exec(membership)?.[1]}/pids.max`;
}
