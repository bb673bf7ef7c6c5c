/** Each command on a running sensor: as text for people, as JSON for programs, and when it cannot. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { EventRecord, Explanation, LogLine, SensorStatus } from "@bulkhead/schema";
import { eventually } from "@bulkhead/testkit";
import * as z from "zod";
import { DnsRecord, Failure } from "./answers.ts";
import { type Cli, eventuallyWell, LAUNCHER, openCli, runProgram } from "./cli.ts";
import { initPids } from "./containers.ts";

const NAME = "e2e-commands";
const NOBODY = 65_534;

const stack = new AsyncDisposableStack();
let cli: Cli;
let demo: string;

before(async () => {
  cli = stack.use(await openCli(NAME));
  demo = (await cli.run(["demo"])).stdout;
});
after(() => stack.disposeAsync());

test("demo, for people: what it saw, tables of instruments and taps, and where to look next", () => {
  assert.match(demo, /The sensor works\. [1-9]\d* alerts and [1-9]\d* passive-DNS records in this run/);
  assert.match(demo, /^INSTRUMENT +PACKAGE +STATE/m);
  assert.match(demo, /^ids +suricata 1\.0\.0 +running/m);
  assert.match(demo, /^TAP +FILTER +WIRE +SEEN/m);
  assert.match(demo, new RegExp(`^capture → ids +\\(all\\) +connected`, "m"));
  assert.match(demo, new RegExp(`explain ids --installation ${NAME}$`, "m"));
});

test("every command has help with examples", async () => {
  const { stdout } = await runProgram(LAUNCHER, ["--help"]);
  const listed = [...stdout.matchAll(/^ {2}([a-z]+) (?:\[options\]|<|\[)/gm)].map((match) => match[1] ?? "");
  const commands = listed.filter((name) => name !== "help" && name !== "test" && name !== "bench");
  const documented =
    "demo setup up down doctor plan apply status explain events taps logs start stop restart query completion";
  for (const one of documented.split(" ")) assert.ok(commands.includes(one), `${one} is listed`);
  const helps = await Promise.all(commands.map((one) => runProgram(LAUNCHER, [one, "--help"])));
  for (const [index, { exitCode, stdout: help }] of helps.entries()) {
    const one = commands[index];
    assert.equal(exitCode, 0, one);
    assert.match(help, /\nExamples:\n +\$ (sudo |source )/, one);
    if (one !== "completion") assert.match(help, /--installation <name>[^]*--json/, one);
  }
});

test("status and taps: the same figures as text and as JSON", async () => {
  const status = await cli.status();
  assert.equal(status.ok, true);
  assert.deepEqual(status.problems, []);
  assert.deepEqual(
    status.processes.map(({ name, state }) => `${name} ${state}`),
    ["warden up", "sensord up", "broker up"],
  );
  const text = (await cli.run(["status"])).stdout;
  assert.match(text, new RegExp(`^${NAME} +site ${status.siteVersion} +as the site says`));
  for (const { name } of status.instruments) assert.match(text, new RegExp(`^${name} .* running `, "m"));
  const taps = SensorStatus.shape.taps.parse(await cli.json(["taps"]));
  assert.equal(taps.length, 1);
  assert.match((await cli.run(["taps"])).stdout, /^capture → ids +\(all\) +connected/m);
});

test("logs: an instrument's own lines, as many as asked for", async () => {
  const lines = (await cli.lines(["logs", "ids"])).map((line) => LogLine.parse(line));
  assert.ok(lines.some(({ message }) => message.includes("Suricata version")));
  assert.equal((await cli.lines(["logs", "ids", "--limit", "2"])).length, 2);
  assert.match(
    (await cli.run(["logs", "ids"])).stdout,
    /^\d{4}-\d\d-\d\dT\S+ info +This is Suricata version/m,
  );
});

test("explain: what it can see, reach, keep and use, and the line that says so", async () => {
  const explanation = Explanation.parse(await cli.json(["explain", "ids"]));
  assert.deepEqual(
    explanation.sections.map(({ title }) => title),
    ["can see", "can reach", "can be reached by", "can keep", "can use", "was denied"],
  );
  const site = (await readFile(join(cli.layout.siteLink, "site.yaml"), "utf8")).split("\n");
  const lineOf = (by: string): string => site[Number(/^site\.yaml:(\d+)$/.exec(by)?.[1]) - 1] ?? "";
  const said = explanation.sections.flatMap(({ lines }) => lines);
  const byTap = said.find(({ text }) => text.startsWith("every frame of span0"));
  assert.match(lineOf(byTap?.by ?? ""), /tap: \{ from: capture \}/);
  const byGrant = said.find(({ text }) => text === "pdns, which receives its suricata.dns events");
  assert.match(lineOf(byGrant?.by ?? ""), /from: ids, type: suricata\.dns, to: pdns/);
  const byRetention = said.find(({ text }) => text === "data for at most 30 d");
  assert.match(lineOf(byRetention?.by ?? ""), /retention: 30d/);
  assert.ok(said.some(({ text }) => text.startsWith("no network")));
  const text = (await cli.run(["explain", "ids"])).stdout;
  for (const { text: words, by } of said) assert.ok(text.includes(`  ${words}  ${by}`), words);
  assert.match(text, /traffic of capture → ids → pdns → people \(analyst\)/);
});

test("events: by instrument, type and age; as lines of text and of JSON", async () => {
  const all = (await cli.events("1h")).map((event) => EventRecord.parse(event));
  assert.ok(all.some(({ instrument }) => instrument === "hello"));
  const types = new Set(all.map(({ type }) => type));
  for (const type of ["suricata.alert", "suricata.dns", "suricata.http", "suricata.tls", "hello.greeting"])
    assert.ok(types.has(type), type);
  assert.ok(
    (await cli.events("1h", "--instrument", "hello")).every(({ instrument }) => instrument === "hello"),
  );
  assert.ok((await cli.events("1h", "--type", "suricata.tls")).every(({ type }) => type === "suricata.tls"));
  const sinceMs = Date.now() - 5_000;
  for (const { stored } of await cli.events("5s")) assert.ok(Date.parse(stored) >= sinceMs, stored);
  assert.equal((await cli.lines(["events", "--limit", "3"])).length, 3);
  const text = (await cli.run(["events", "--type", "suricata.alert", "--limit", "5"])).stdout;
  assert.match(text, /^(\d\d:\d\d:\d\d  ids  suricata\.alert  DEMO .* → \S+\n){5}$/);
});

test("events --follow goes on as they come, until Ctrl-C, which is no failure", async () => {
  const args = [
    "events",
    "--follow",
    "--instrument",
    "ids",
    "--type",
    "suricata.dns",
    "--limit",
    "1",
    "--json",
  ];
  const follow = spawn(LAUNCHER, [...args, "--installation", NAME], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(follow, "exit");
  const startedMs = Date.now();
  try {
    let fresh = 0;
    for await (const line of createInterface({ input: follow.stdout })) {
      const event = EventRecord.parse(JSON.parse(line));
      assert.equal(`${event.instrument} ${event.type}`, "ids suricata.dns");
      if (Date.parse(event.stored) > startedMs) fresh += 1;
      if (fresh >= 3) break;
    }
    assert.equal(fresh, 3, "it did not end by itself");
  } finally {
    follow.kill("SIGINT");
  }
  assert.deepEqual(await ended, [0, null]);
});

test("query passive-dns: by name and by address, and what was never seen", async () => {
  const byName = (await cli.lines(["query", "passive-dns", "www.corp.example"])).map((r) =>
    DnsRecord.parse(r),
  );
  assert.ok(byName.some(({ rrtype, rdata }) => rrtype === "CNAME" && String(rdata) === "web.corp.example"));
  const byAddress = (await cli.lines(["query", "passive-dns", "10.20.30.80"])).map((r) => DnsRecord.parse(r));
  assert.ok(byAddress.some(({ rrname, rrtype }) => rrname === "web.corp.example" && rrtype === "A"));
  for (const record of byName) assert.ok(record.time_first <= record.time_last);
  const text = (await cli.run(["query", "passive-dns", "www.corp.example"])).stdout;
  assert.match(
    text,
    /^NAME +TYPE +DATA +FIRST SEEN \(UTC\) +LAST SEEN \(UTC\) +COUNT\nwww\.corp\.example +CNAME/,
  );
  const never = await cli.run(["query", "passive-dns", "never.example"]);
  assert.equal(never.stdout, "Nothing was seen of never.example.\n");
  assert.deepEqual(await cli.lines(["query", "passive-dns", "never.example"]), []);
});

test("stop, start, restart: that instrument alone, and it stays so", async () => {
  const before = await initPids(cli);
  assert.match((await cli.run(["stop", "hello"])).stdout, /^hello: stop done$/m);
  const stopped = await cli.status();
  assert.deepEqual(
    stopped.instruments
      .filter(({ state }) => state !== "running")
      .map(({ name, state }) => `${name} ${state}`),
    ["hello stopped"],
  );
  assert.equal(stopped.ok, true, "stopped by hand is as it shall be");
  assert.match((await cli.run(["status"])).stdout, /^hello .* stopped .* stopped by hand$/m);
  assert.deepEqual(await cli.json(["stop", "hello"]), { ok: true }, "twice is no error");
  await cli.run(["apply", join(cli.layout.etcDir, "demo", "site.yaml")]);
  assert.equal((await initPids(cli))["hello"], 0, "an apply does not start what somebody stopped");

  await cli.run(["start", "hello"]);
  await eventuallyWell(cli);
  const started = await initPids(cli);
  assert.notEqual(started["hello"], 0);
  await cli.run(["restart", "hello"]);
  await eventuallyWell(cli);
  const restarted = await initPids(cli);
  assert.notEqual(restarted["hello"], started["hello"]);
  for (const name of ["capture", "ids", "pdns"]) assert.equal(restarted[name], before[name], name);
  await eventually(
    "it greets again",
    async () => (await cli.events("5s", "--instrument", "hello")).length > 0,
  );
});

test("doctor: one line for each check, and the processes", async () => {
  const Doctor = z.strictObject({
    checks: z.array(
      z.strictObject({ id: z.string(), state: z.string(), detail: z.string(), advice: z.string() }),
    ),
    processes: z.array(z.looseObject({ process: z.string(), state: z.literal("running"), pid: z.int() })),
  });
  const { checks, processes } = Doctor.parse(await cli.json(["doctor"]));
  assert.deepEqual(
    processes.map(({ process }) => process),
    ["warden", "sensord", "broker"],
  );
  const text = (await cli.run(["doctor"])).stdout;
  for (const { id, state, advice } of checks) {
    assert.match(text, new RegExp(`^${state} +${id}: `, "m"));
    if (state !== "ok") assert.ok(advice !== "" && text.includes(advice), `${id} says what to do`);
  }
});

test("completion: a script for each shell, that bash sources and completes with", async () => {
  const script = `source <("${LAUNCHER}" completion bash)
    complete_it() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bulkhead; printf '%s\\n' "\${COMPREPLY[*]}"; }
    complete_it bulkhead st; complete_it bulkhead events --f; complete_it ./bulkhead ex; complete -p bulkhead`;
  const bash = await runProgram("bash", ["-c", script]);
  assert.deepEqual(
    bash.stdout
      .split("\n")
      .slice(0, 3)
      .map((line) => line.split(" ").toSorted().join(" ")),
    ["start status stop", "--follow", "explain"],
  );
  assert.match(bash.stdout, /complete -F _bulkhead bulkhead/);
  assert.equal(bash.stderr, "");
  const zsh = (await runProgram(LAUNCHER, ["completion", "zsh"])).stdout;
  assert.match(zsh, /bashcompinit[^]*complete -F _bulkhead/);
  const fish = (await runProgram(LAUNCHER, ["completion", "fish"])).stdout;
  assert.match(fish, /^complete -c bulkhead -n __fish_use_subcommand -f -a status -d '/m);
  assert.equal((await runProgram(LAUNCHER, ["completion", "csh"])).exitCode, 2);
});

test("what cannot be done is said in words, with a code and what to do next", async () => {
  for (const verb of ["explain", "logs", "start", "stop", "restart"]) {
    const { stderr, stdout } = await cli.run([verb, "nobody"], { exitCode: 1 });
    assert.equal(stdout, "");
    assert.match(stderr, /^bulkhead: .*no instrument nobody.*\n  .*unknown-instrument\n$/, verb);
  }
  const failure = Failure.parse(await cli.json(["logs", "nobody"], { exitCode: 1 }));
  assert.equal(failure.error.code, "unknown-instrument");
  const bad: readonly (readonly [readonly string[], RegExp])[] = [
    [["query", "nothing", "x"], /nothing cannot be asked; accepted: passive-dns/],
    [["events", "--since", "soon"], /accepted: a duration such as 30s/],
    [["events", "--nonsense"], /unknown option '--nonsense'/],
    [["explain"], /missing required argument 'instrument'/],
    [["plan", "/nowhere/site.yaml"], /\/nowhere\/site\.yaml: ENOENT/],
    [["nonsense"], /unknown command 'nonsense'/],
  ];
  for (const [args, words] of bad) assert.match((await cli.run(args, { exitCode: 2 })).stderr, words);
  const misnamed = await runProgram(LAUNCHER, ["status", "--installation", "No_Name"]);
  assert.equal(misnamed.exitCode, 2);
  assert.match(misnamed.stderr, /lower-case letters/);
});

test("a sensor that does not run, and a user who is not root", async () => {
  const absent = await runProgram(LAUNCHER, ["status", "--installation", "e2e-nowhere"]);
  assert.equal(absent.exitCode, 1);
  assert.match(
    absent.stderr,
    /e2e-nowhere does not answer[^]*sudo \.\/bulkhead up --installation e2e-nowhere/,
  );
  for (const args of [["status"], ["up"], ["down", "--purge"], ["demo"], ["stop", "ids"]]) {
    const denied = await runProgram(LAUNCHER, [...args, "--installation", NAME], { uid: NOBODY });
    assert.equal(denied.exitCode, 1, args.join(" "));
    assert.match(denied.stderr, /sudo/, args.join(" "));
  }
  assert.equal((await cli.status()).ok, true, "nothing of it had an effect");
});

test("down stops all and keeps what was learnt; up goes on with it", async () => {
  const { siteVersion } = await cli.status();
  const learnt = await countOf("www.corp.example");
  assert.match((await cli.run(["down"])).stdout, /Data is kept/);
  assert.ok(Object.values(await initPids(cli)).every((pid) => pid === 0));
  const { stderr } = await cli.run(["status"], { exitCode: 1 });
  assert.match(stderr, new RegExp(`sudo \\./bulkhead up --installation ${NAME}`));
  await cli.run(["down"]);

  assert.match((await cli.run(["up"])).stdout, /^running +warden/m);
  const status = await eventuallyWell(cli);
  assert.equal(status.siteVersion, siteVersion);
  assert.ok((await countOf("www.corp.example")) >= learnt);
  assert.match(
    (await cli.run(["plan", join(cli.layout.etcDir, "demo", "site.yaml")])).stdout,
    /Nothing to do/,
  );
});

async function countOf(name: string): Promise<number> {
  const records = await cli.lines(["query", "passive-dns", name]);
  return records.reduce<number>((sum, record) => sum + DnsRecord.parse(record).count, 0);
}
