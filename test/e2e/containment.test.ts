import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, tryCommand } from "@bulkhead/testkit";
import { wireDeviceName } from "../../packages/warden/src/datapath/naming.ts";
import { forgedFrames, makeKernelSpeak, sendRaw, undoFromInside } from "./attacks.ts";
import { asContainerRoot, asInstrument, inNamed, packetsOf, run, sendFrom } from "./inside.ts";
import { makeSensorStand, type SensorStand } from "./sensor-stand.ts";
import { ENGINE, ENGINE_LINE, idsLine, SPAN_KEY } from "./stand-site.ts";
import { NOTHING_SEEN, witness } from "./witness.ts";

const DROP = "1,6 0 0 2";
const ALL = ["protocol", "all", "bpf", "bytecode", "1,6 0 0 262144"];
const OTHER = "ids2";

test("nothing gets out of an instrument of a running sensor", async (t) => {
  await using stand = await makeSensorStand("e2e-contain");
  await stand.apply(stand.siteText([ENGINE_LINE, idsLine("ids"), idsLine(OTHER)].join("\n")));
  await stand.settled();
  await stand.alertFlows();

  await t.test("the IDS's own user sends raw frames: none arrives, all are counted", () => asItself(stand));
  await t.test("its root does all that root can: nothing arrives, and warden puts things right", () =>
    asRoot(stand),
  );
  await t.test("what runs in the container by `lxc exec` reaches nobody", () => byExec(stand));
  await t.test("the capture engine's root can read counters and change nothing", () => asEngine(stand));
  await t.test("the same before the first configuration came", () => unconfigured(stand));
  await t.test("control: without guards the same frames do get out, until warden puts them on", () =>
    control(stand),
  );
  await t.test("a container that was changed by hand is stopped, made anew and audited", () =>
    changed(stand),
  );
});

async function asItself(stand: SensorStand): Promise<void> {
  const attacker = asInstrument(await stand.initPid("ids"));
  const before = await guardDropped(stand);
  let sent = 0;
  const seen = await witness(stand, OTHER, [], async () => {
    sent = await sendRaw(attacker, stand.tools);
  });
  assert.deepEqual(seen, NOTHING_SEEN);
  await assert.rejects(run(attacker, ["ip", "link", "set", "dev", "mon0", "down"]), /not permitted/);
  await guardsHold(stand, "ids");
  const expected = before + sent;
  await stand.until(`${expected} frames that were tried to be sent`, (status) => {
    const row = status.taps.find(({ instrument }) => instrument === "ids");
    return row?.guardDropped === expected;
  });
}

async function asRoot(stand: SensorStand): Promise<void> {
  const attacker = asContainerRoot(await stand.initPid("ids"));
  const before = await guardDropped(stand);
  const warden = await stand.processPid("warden");
  // Nobody puts anything right meanwhile: what holds is the kernel's alone.
  process.kill(warden, "SIGSTOP");
  let sent = 0;
  try {
    const mirrored: string[] = [];
    const seen = await witness(stand, OTHER, mirrored, async () => {
      sent += await sendRaw(attacker, stand.tools);
      mirrored.push(...(await makeKernelSpeak(attacker, stand)));
      sent += await undoFromInside(attacker, stand.tools);
    });
    assert.deepEqual(seen, NOTHING_SEEN);
    await guardsHold(stand, "ids");
  } finally {
    process.kill(warden, "SIGCONT");
  }
  // An interface that is not in the profile, and a wire that is down.
  await stand.audited("containment.differs", "ids", /bypass/);
  await stand.settled();
  await stand.alertFlows();
  // Beside the raw frames: ARP, neighbour discovery and solicitations of the attacker's kernel, and answers.
  await stand.until(`more than ${before + sent} frames that were tried to be sent`, (status) => {
    const row = status.taps.find(({ instrument }) => instrument === "ids");
    return (row?.guardDropped ?? 0) > before + sent;
  });
}

async function byExec(stand: SensorStand): Promise<void> {
  const program = `
    const socket = require("node:dgram").createSocket("udp4");
    socket.on("error", (error) => { console.log(error.code); process.exit(0); });
    socket.bind(0, () => { socket.setBroadcast(true);
      socket.send("x", 9, process.argv[1], (error) => { console.log(error ? error.code : "sent"); process.exit(0); }); });`;
  for (const instrument of ["ids", ENGINE]) {
    for (const user of ["0", "1000"]) {
      for (const target of ["255.255.255.255", "10.20.30.1", "192.0.2.1"]) {
        const seen = await witness(stand, OTHER, [], async () => {
          const node = ["/opt/node/bin/node", "-e", program, target];
          const said = await stand.client("exec", instrument, "--user", user, "--", ...node);
          assert.match(
            said,
            /^(ENETUNREACH|EPERM|EACCES|EADDRNOTAVAIL)\n$/,
            `${instrument} as ${user} to ${target}`,
          );
        });
        assert.deepEqual(seen, NOTHING_SEEN);
      }
    }
  }
}

async function asEngine(stand: SensorStand): Promise<void> {
  const pid = await stand.initPid(ENGINE);
  const wire = wireDeviceName(stand.layout.slug, { engine: ENGINE, instrument: "ids" });
  for (const attacker of [asContainerRoot(pid), asInstrument(pid)]) {
    const seen = await witness(stand, OTHER, [], async () => {
      for (const device of [SPAN_KEY, wire]) {
        await assert.rejects(sendRaw(attacker, { ...stand.tools }), "mon0 is not even there");
        await assert.rejects(sendFrom(attacker, stand.tools, device, forgedFrames()), /not permitted/);
        for (const argv of [
          ["ip", "link", "set", "dev", device, "xdp", "off"],
          ["ip", "link", "set", "dev", device, "down"],
          ["ip", "link", "del", "dev", device],
          ["ip", "addr", "add", "192.0.2.66/24", "dev", device],
          ["tc", "qdisc", "del", "dev", device, "clsact"],
          ["tc", "filter", "del", "dev", device, "ingress"],
          ["tc", "actions", "flush", "action", "mirred"],
        ]) {
          await assert.rejects(run(attacker, argv), /not permitted/, argv.join(" "));
        }
        await assert.rejects(run(attacker, ["ping", "-c", "1", "-W", "1", "-I", device, "10.20.30.1"]));
      }
    });
    assert.deepEqual(seen, NOTHING_SEEN);
    assert.ok((await packetsOf(attacker, SPAN_KEY)).received > 0, "counters can be read");
  }
  await guardsHold(stand, "ids");
}

async function unconfigured(stand: SensorStand): Promise<void> {
  const broker = await stand.processPid("broker");
  process.kill(broker, "SIGSTOP");
  try {
    await stand.order("restart", "ids");
    const pid = await eventually("the IDS's container runs, with its tap", async () => {
      const running = await stand.initPid("ids").catch(() => null);
      if (running === null) return null;
      const up = await packetsOf(asContainerRoot(running), "mon0").catch(() => null);
      return up === null ? null : running;
    });
    assert.notEqual((await stand.instrument("ids")).state, "running");
    for (const attacker of [asInstrument(pid), asContainerRoot(pid)]) {
      const seen = await witness(stand, OTHER, [], async () => {
        await sendRaw(attacker, stand.tools);
      });
      assert.deepEqual(seen, NOTHING_SEEN);
    }
    await guardsHold(stand, "ids");
  } finally {
    process.kill(broker, "SIGCONT");
  }
  await stand.settled();
  await stand.alertFlows();
}

/** On one tap a way from the wire to the span is made, which nobody has in earnest, and every guard is taken off. */
async function control(stand: SensorStand): Promise<void> {
  const attacker = asInstrument(await stand.initPid(OTHER));
  const wire = wireDeviceName(stand.layout.slug, { engine: ENGINE, instrument: OTHER });
  const engine = inNamed(stand.engineNamespace);
  const warden = await stand.processPid("warden");
  const attack = () => sendFrom(attacker, stand.tools, "mon0", forgedFrames());
  const leak = ["tc", "filter", "add", "dev", wire, "ingress", "prio", "9", ...ALL];
  process.kill(warden, "SIGSTOP");
  try {
    await run(engine, [...leak, "action", "mirred", "egress", "redirect", "dev", SPAN_KEY]);
    assert.deepEqual((await witness(stand, "ids", [], attack)).atFarEnd, [], "every guard is on");
    await run(engine, ["ip", "link", "set", "dev", wire, "xdpdrv", "off"]);
    await run(engine, ["tc", "filter", "del", "dev", wire, "ingress", "prio", "1"]);
    await run(engine, ["tc", "filter", "del", "dev", SPAN_KEY, "egress"]);
    const seen = await witness(stand, "ids", [], attack);
    assert.deepEqual(seen.atFarEnd, forgedFrames(), "without guards each frame arrives");
    assert.deepEqual(seen.counted, { farEnd: 5, span: 5, otherTap: 0 });
  } finally {
    process.kill(warden, "SIGCONT");
  }
  await eventually("warden puts the guards on again", async () => {
    const held = await guardsHold(stand, OTHER).then(
      () => true,
      () => null,
    );
    return held;
  });
  await stand.settled();
  assert.deepEqual(await witness(stand, "ids", [], attack), NOTHING_SEEN);
}

async function changed(stand: SensorStand): Promise<void> {
  // The kernel may show a change a moment before the runtime's configuration does.
  const changes: readonly (readonly [what: string, finding: RegExp, ...argv: string[]])[] = [
    ["nesting is allowed", /security\.nesting/, "config", "set", "ids", "security.nesting=true"],
    ["the memory limit is gone", /memory/, "config", "unset", "ids", "limits.memory"],
    [
      "a directory of the host is given in",
      /leak/,
      "config",
      "device",
      "add",
      "ids",
      "leak",
      "disk",
      "source=/srv",
      "path=/tmp/leak",
    ],
    [
      "a network device is given in",
      /leak|eth0/,
      "config",
      "device",
      "add",
      "ids",
      "leak",
      "nic",
      "nictype=p2p",
      "name=eth0",
    ],
  ];
  for (const [what, finding, ...argv] of changes) {
    const before = await stand.initPid("ids");
    const entries = (await stand.auditLog()).length;
    await stand.client(...argv);
    await stand.audited("containment.differs", "ids", finding, entries);
    await eventually(`${what}: another container runs in its place`, async () => {
      const pid = await stand.initPid("ids").catch(() => null);
      return pid === null || pid === before ? null : pid;
    });
    for (const step of ["instrument.remove", "instrument.create", "instrument.start", "wire.connect"]) {
      await stand.audited(step, "ids", /./, entries);
    }
    await stand.settled();
    const config = JSON.stringify(await stand.query("ids"));
    assert.doesNotMatch(config, /leak|"security.nesting":"true"/, what);
    assert.match(config, /"limits.memory":"\d+"/, what);
  }
  await stand.alertFlows();
}

/** Both guards of the instrument's wire and of the span, as the kernel has them. */
async function guardsHold(stand: SensorStand, instrument: string): Promise<void> {
  const engine = inNamed(stand.engineNamespace);
  const wire = wireDeviceName(stand.layout.slug, { engine: ENGINE, instrument });
  assert.match(await run(engine, ["ip", "-d", "link", "show", "dev", wire]), /prog\/xdp/, "XDP on the wire");
  const onWire = await run(engine, ["tc", "filter", "show", "dev", wire, "ingress"]);
  assert.ok(onWire.includes(`'${DROP}'`) && !/redirect/.test(onWire), "the wire's drop alone");
  const onSpan = await run(engine, ["tc", "filter", "show", "dev", SPAN_KEY, "egress"]);
  assert.ok(onSpan.includes(`'${DROP}'`), "the span's drop");
  const devices = (await tryCommand("ip", ["-o", "link", "show"])) ?? "";
  assert.ok(!devices.includes(` ${stand.device}@`), "the span is not the host's");
}

async function guardDropped(stand: SensorStand): Promise<number> {
  const row = (await stand.status()).taps.find(({ instrument }) => instrument === "ids");
  return row?.guardDropped ?? 0;
}
