import assert from "node:assert/strict";
import { test } from "node:test";
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import { checkFilter, compileFilter, maxInstructions } from "./filter.ts";
import { namespaceAt } from "./namespace.ts";

/** Answers every command with this and keeps the argv. */
function answering(answer: string | WardenError) {
  const calls: (readonly string[])[] = [];
  const commands: Commands = {
    run(argv) {
      calls.push(argv);
      return answer instanceof WardenError ? Promise.reject(answer) : Promise.resolve({ stdout: answer });
    },
  };
  return { commands, calls, engine: namespaceAt(commands, "/run/netns/x") };
}

test("the empty expression matches all and needs no compiler", async () => {
  const { engine, calls } = answering("");
  assert.equal(await compileFilter(engine, " ", 65534), "1,6 0 0 262144");
  assert.equal(calls.length, 0);
});

test("an expression is the last argument, behind the end of options, and run without privilege", async () => {
  const { engine, calls } = answering("1\n6 0 0 0\n");
  assert.equal(await compileFilter(engine, "-w /etc/shadow", 65534), "1,6 0 0 0");
  const argv = calls[0] ?? [];
  assert.deepEqual(argv.slice(-2), ["--", "-w /etc/shadow"]);
  assert.ok(argv.indexOf("--reuid=65534") < argv.indexOf("tcpdump"));
  assert.ok(argv.includes("--bounding-set=-all,+net_raw"));
});

test("more instructions than tc takes are refused before tc is asked", async () => {
  const many = [maxInstructions + 1, ...Array(maxInstructions + 1).fill("6 0 0 0")].join("\n");
  const { engine, commands } = answering(many);
  await assert.rejects(compileFilter(engine, "x", 65534), (error) =>
    isWardenError(error, "datapath-filter-too-long"),
  );
  const checked = await checkFilter(commands, "x", 65534);
  assert.equal(checked.outcome === "refused" && checked.code, "datapath-filter-too-long");
});

test("the compiler's own words reach the operator", async () => {
  const failure = new WardenError("command-failed", "…", {
    fields: { stderr: "reading from file -\ntcpdump: can't parse filter expression: syntax error" },
  });
  const { engine, commands } = answering(failure);
  await assert.rejects(compileFilter(engine, "frob", 65534), {
    code: "datapath-filter-invalid",
    message: "can't parse filter expression: syntax error",
  });
  assert.equal((await checkFilter(commands, "frob", 65534)).outcome, "refused");
});

test("what is not bytecode is not passed on to tc", async () => {
  for (const output of ["", "2\n6 0 0 0\n", "1\n6 0 0 0 index 7\n", "0\n"]) {
    await assert.rejects(compileFilter(answering(output).engine, "ip", 65534), {
      code: "datapath-filter-invalid",
    });
  }
});

test("what no argument can hold is refused before a process is started", async () => {
  await assert.rejects(compileFilter(answering("1\n6 0 0 0\n").engine, "ip\0arp", 65534), {
    code: "datapath-filter-invalid",
  });
});

test("a missing compiler is not blamed on the expression", async () => {
  const missing = new WardenError("command-missing", "tcpdump is not installed");
  await assert.rejects(checkFilter(answering(missing).commands, "ip", 65534), { code: "command-missing" });
});
