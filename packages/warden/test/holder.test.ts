/**
 * The holder over an in-memory host: it applies whole or not at all, brings back what somebody
 * took away, and waits longer for what keeps ending.
 */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import {
  type InstallationLayout,
  installationLayout,
  type Observed,
  type Step,
  type VaultState,
} from "@bulkhead/schema";
import { achieve, catalogue, emptyHost, SITE } from "../../core/test/fixtures.ts";
import { WardenError } from "../src/error.ts";
import { executeStep } from "../src/hold/execute.ts";
import { HoldState } from "../src/hold/hold-state.ts";
import { Holder } from "../src/hold/holder.ts";
import type { Executors, Host } from "../src/hold/ports.ts";
import { AcceptedPackages } from "../src/site/catalogue-store.ts";
import { SiteStore } from "../src/site/site-store.ts";

interface Bench {
  readonly holder: Holder;
  readonly layout: InstallationLayout;
  readonly memory: MemoryHost;
  readonly clock: { nowMs: number };
  readonly vault: { state: VaultState };
}

class MemoryHost implements Host {
  observed: Observed = emptyHost();
  readonly taken: string[] = [];
  /** Steps that fail: `kind target`. */
  readonly broken = new Set<string>();
  endsAtOnce = "";
  /** Its start works, and it does not run when it is looked at. */
  endsSoon = "";
  readonly executors = new Proxy({} as Executors, {
    get: () => async (step: Step) => {
      if (this.broken.has(`${step.kind} ${step.target}`))
        throw new WardenError("volume-no-space", "no space left");
      if (step.kind === "instrument.start" && step.instrument === this.endsAtOnce)
        throw new WardenError("instrument-ended", "it ended at once");
      this.taken.push(`${step.kind} ${step.target}`);
      this.observed = achieve(this.observed, step);
      if (step.kind === "instrument.start" && step.instrument === this.endsSoon) this.end(step.instrument);
    },
  });

  /** Its container stops by itself. */
  end(instrument: string): void {
    const instruments = this.observed.instruments.map((each) =>
      each.name === instrument ? { ...each, state: "stopped" as const, pid: null } : each,
    );
    this.observed = { ...this.observed, instruments };
  }

  observe = async () => this.observed;
  counters = async () => [];
  networkReport = async () => [];
  rejectFilter = async (expression: string) => (expression.includes("nonsense") ? "syntax error" : null);
  onHint = () => undefined;
  halt = async (instrument: string) => {
    this.taken.push(`halt ${instrument}`);
    const ended = { state: "stopped", pid: null } as const;
    const instruments = this.observed.instruments.map((i) =>
      i.name === instrument ? { ...i, ...ended } : i,
    );
    this.observed = { ...this.observed, instruments };
  };
  teardown = async () => undefined;
}

async function bench(t: TestContext): Promise<Bench> {
  const root = await mkdtemp(join(tmpdir(), "bulkhead-holder-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  const plain = installationLayout("unit");
  const layout = {
    ...plain,
    siteLink: join(root, "site"),
    siteVersionsDir: join(root, "sites"),
    siteStagedDir: join(root, "site.staged"),
    wardenDir: join(root, "warden"),
  };
  const memory = new MemoryHost();
  const clock = { nowMs: 1_000_000 };
  const vault: { state: VaultState } = {
    state: { state: "unlocked", method: "file", problem: null },
  };
  const holder = new Holder({
    host: memory,
    sites: new SiteStore(layout),
    accepted: new AcceptedPackages(layout),
    state: await HoldState.open(layout),
    audit: { append: async () => undefined, problems: () => [] },
    vault: () => vault.state,
    readCatalogue: async () => catalogue,
    nowMs: () => clock.nowMs,
    clock: {
      span: () => ({ earliestMs: clock.nowMs, latestMs: clock.nowMs }),
      problem: () => null,
      keep: async () => undefined,
    },
  });
  t.after(() => holder.down());
  return { holder, layout, memory, clock, vault };
}

async function stage({ layout }: Bench, text: string): Promise<void> {
  await rm(layout.siteStagedDir, { recursive: true, force: true });
  await mkdir(layout.siteStagedDir, { mode: 0o700 });
  await writeFile(join(layout.siteStagedDir, "site.yaml"), text, { mode: 0o600 });
  await writeFile(join(layout.siteStagedDir, "local.rules"), "# none\n", { mode: 0o600 });
}

/** A pass over the host, through the same queue as everything else. */
async function look(bench: Bench): Promise<void> {
  bench.holder.wake();
  await bench.holder.restart("capture");
}

const states = (memory: MemoryHost) =>
  Object.fromEntries(memory.observed.instruments.map((i) => [i.name, i.state]));

test("a good site is applied and held", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  const outcome = await b.holder.apply();
  assert.equal(outcome.outcome, "applied");
  assert.deepEqual(states(b.memory), { capture: "running", ids: "running", pdns: "running" });
  assert.equal(b.holder.state.site?.text, SITE);
  assert.deepEqual(b.holder.state.problems, []);
});

test("a site with faults changes nothing, and the filter compiler is asked", async (t) => {
  const b = await bench(t);
  await stage(b, SITE.replace("not port 22", "nonsense"));
  const outcome = await b.holder.apply();
  assert.deepEqual(outcome.outcome === "faults" && outcome.faults.map((f) => f.path), [
    "/instruments/ids/tap/filter",
  ]);
  assert.deepEqual(b.memory.taken, []);
  assert.equal(b.holder.state.site, null);
});

test("when a step fails the former site is in force again, and nothing of the new one is left", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  const before = b.memory.observed;
  b.memory.broken.add("volume.create more/db");
  await stage(
    b,
    SITE.replace("  pdns:", "  more: { package: passive-dns }\n  pdns:").replace("not port 22", "port 53"),
  );
  const outcome = await b.holder.apply();
  assert.equal(outcome.outcome === "failed" && outcome.code, "volume-no-space");
  assert.equal(b.holder.state.site?.text, SITE);
  const sorted = (o: Observed) => ({
    ...o,
    taps: o.taps,
    instruments: o.instruments.map((i) => i.name).toSorted(),
  });
  assert.deepEqual(sorted(b.memory.observed), sorted(before));
});

test("a first apply that fails leaves the host as it was", async (t) => {
  const b = await bench(t);
  b.memory.broken.add("instrument.start pdns");
  await stage(b, SITE);
  assert.equal((await b.holder.apply()).outcome, "failed");
  assert.deepEqual({ ...b.memory.observed, devices: [...b.memory.observed.devices] }, emptyHost());
});

test("an instrument that ends at once does not stop an apply; it is started again, each time later", async (t) => {
  const b = await bench(t);
  b.memory.endsAtOnce = "ids";
  await stage(b, SITE);
  assert.equal((await b.holder.apply()).outcome, "applied");
  assert.equal(states(b.memory)["pdns"], "running", "the others run");
  const [crash] = b.holder.state.crashes;
  assert.equal(crash?.instrument, "ids");
  assert.match(crash?.reason ?? "", /ended at once/);
  assert.equal(
    b.memory.taken.some((step) => step.startsWith("wire.connect")),
    false,
  );
});

test("one that ends before it is looked at is started again with back-off as well", async (t) => {
  const b = await bench(t);
  b.memory.endsSoon = "ids";
  await stage(b, SITE);
  assert.equal((await b.holder.apply()).outcome, "applied");
  const starts = () => b.memory.taken.filter((step) => step === "instrument.start ids").length;
  await look(b);
  const before = starts();
  assert.ok((b.holder.state.crashes[0]?.count ?? 0) >= 1);
  assert.match(b.holder.state.crashes[0]?.reason ?? "", /its container is stopped/);
  for (let looks = 0; looks < 3; looks += 1) await look(b);
  const after = starts();
  assert.ok(after - before <= 1, `${after - before} starts at one moment of the clock`);
});

test("what fails, and what then fails when it is undone, are both said", async () => {
  const first = new WardenError("instrument-ended", "it ended at once");
  const step = { kind: "instrument.start", target: "ids", why: "it shall run", instrument: "ids" } as const;
  const fail = async (): Promise<void> => {
    await using undo = new AsyncDisposableStack();
    undo.defer(() => Promise.reject(new Error("it cannot be killed")));
    throw first;
  };
  const executors = { "instrument.start": fail } as unknown as Executors; // the one that is called
  const failure = await executeStep(step, executors, { siteDir: "/nonexistent" });
  assert.equal(failure?.code, "instrument-ended");
  assert.equal(failure?.message, "it ended at once; and when it was undone: it cannot be killed");
});

test("what somebody else can write is not taken for root's", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await chmod(join(b.layout.siteStagedDir, "local.rules"), 0o666);
  await assert.rejects(b.holder.apply(), { code: "site-not-root-owned" });
});

test("a wire that was taken away comes back", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  b.memory.observed = { ...b.memory.observed, taps: [] };
  await look(b);
  assert.equal(b.memory.observed.taps[0]?.wire, "connected");
  assert.equal(b.memory.observed.taps[0]?.filter, "not port 22");
});

test("what was found is told before it is put right", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  const wires: (string | undefined)[] = [];
  t.after(b.holder.feed.listen(({ observed }) => void wires.push(observed.taps[0]?.wire)));
  b.memory.observed = { ...b.memory.observed, taps: [] };
  await look(b);
  assert.deepEqual(wires.slice(0, 2), [undefined, "connected"]);
});

test("an instrument that keeps ending is started again, each time later", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  const end = () => {
    b.memory.observed = {
      ...b.memory.observed,
      instruments: b.memory.observed.instruments.map((i) =>
        i.name === "pdns" ? { ...i, state: "stopped" } : i,
      ),
    };
  };
  end();
  await look(b);
  assert.equal(states(b.memory)["pdns"], "running", "the first time at once");
  end();
  await look(b);
  assert.equal(states(b.memory)["pdns"], "stopped", "the second time not yet");
  assert.equal(b.holder.state.crashes[0]?.count, 2);
  b.clock.nowMs += 500;
  await look(b);
  assert.equal(states(b.memory)["pdns"], "running");
});

test("an instrument that exceeds what it was given is stopped at once, said, and started later each time", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  await b.holder.exceeded("ids", "900 packet sockets, of 32");
  assert.ok(b.memory.taken.includes("halt ids"));
  assert.equal(states(b.memory)["ids"], "running", "the first time it is started again at once");
  const [first] = b.holder.state.crashes;
  assert.deepEqual([first?.count, first?.reason], [1, "it was stopped: 900 packet sockets, of 32"]);
  await b.holder.exceeded("ids", "900 packet sockets, of 32");
  assert.equal(states(b.memory)["ids"], "stopped", "the second time it waits");
  assert.equal(b.holder.state.crashes[0]?.count, 2, "its end is counted once");
});

test("an instrument that was stopped by hand stays so, also for the next warden", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  await b.holder.setStopped("pdns", true);
  await look(b);
  assert.equal(states(b.memory)["pdns"], "stopped");
  assert.deepEqual((await HoldState.open(b.layout)).stopped, ["pdns"]);
  await b.holder.setStopped("pdns", false);
  assert.equal(states(b.memory)["pdns"], "running");
});

test("an order for an instrument that is not in the site is refused", async (t) => {
  const b = await bench(t);
  await assert.rejects(b.holder.restart("nobody"), { code: "unknown-instrument" });
});

test("without a site nobody's data is destroyed", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  await rm(b.layout.siteLink);
  b.holder.wake();
  await assert.rejects(b.holder.restart("pdns"), { code: "unknown-instrument" });
  assert.deepEqual(
    b.memory.observed.volumes.map((v) => `${v.instrument}/${v.id}`),
    ["ids/rules", "pdns/db"],
  );
});

test("down stops everything and gives the span back; data stays", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  await b.holder.down();
  assert.deepEqual(states(b.memory), { capture: "stopped", ids: "stopped", pdns: "stopped" });
  assert.deepEqual(b.memory.observed.devices, ["eth1"]);
  assert.equal(b.memory.observed.volumes.length, 2);
});

test("a locked vault is said for each instrument that waits, and opening it starts them", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  const problem = { code: "vault-passphrase-missing", message: "the vault waits for its passphrase" };
  b.vault.state = { state: "locked", method: "passphrase", problem };
  b.memory.observed = {
    ...emptyHost(),
    volumes: b.memory.observed.volumes.map((v) => ({ ...v, mounted: false })),
  };
  await look(b);
  assert.deepEqual(states(b.memory), { capture: "running" });
  assert.deepEqual(b.holder.state.vault, b.vault.state);
  const waiting = b.holder.state.problems.filter(({ code }) => code === "volume-locked");
  assert.deepEqual(waiting.map(({ target }) => target).toSorted(), ["ids", "pdns"]);
  assert.match(waiting[0]?.message ?? "", /waits for its passphrase/);
  b.vault.state = { state: "unlocked", method: "passphrase", problem: null };
  await look(b);
  assert.deepEqual(states(b.memory), { capture: "running", ids: "running", pdns: "running" });
});

test("what is destroyed goes with its container, is remembered, and is made anew by the site", async (t) => {
  const b = await bench(t);
  await stage(b, SITE);
  await b.holder.apply();
  b.memory.taken.length = 0;
  await b.holder.destroy("pdns");
  const [first, second] = b.memory.taken;
  assert.deepEqual([first, second], ["instrument.remove pdns", "volume.remove pdns/db"]);
  assert.equal(states(b.memory)["pdns"], "running");
  const [erasure] = b.holder.state.erasures;
  assert.equal(erasure?.instrument, "pdns");
  const again = await HoldState.open(b.layout);
  assert.deepEqual(again.erasures, b.holder.state.erasures);
  await b.holder.destroy("pdns");
  assert.notEqual(b.holder.state.erasures[0]?.id, erasure?.id);
  await assert.rejects(b.holder.destroy("nobody"), { code: "unknown-instrument" });
});
