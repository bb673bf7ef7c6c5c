/**
 * Standing readers in real namespaces: the same answers as a program run for each question, at a part of the cost.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeNamespace } from "@bulkhead/testkit";
import { type Commands, hostCommands } from "../../../packages/warden/src/commands.ts";
import { namespaceAt, observeLinks } from "../../../packages/warden/src/datapath/namespace.ts";
import { StandingReaders } from "../../../packages/warden/src/datapath/standing-reader.ts";
import { observeClsact, observeFilters } from "../../../packages/warden/src/datapath/traffic-control.ts";

test("answers are those of a program run for each, and no program is", async () => {
  await using place = await makeNamespace();
  const { ran, commands, path } = countingCommands(place.name);
  const direct = namespaceAt(hostCommands(), path);
  const readers = new StandingReaders();
  const standing = readers.in(namespaceAt(commands, path));
  await place.ip("link", "add", "v0", "type", "veth", "peer", "name", "v1");
  await place.tc("qdisc", "add", "dev", "v0", "clsact");
  for (let round = 0; round < 3; round += 1) {
    assert.deepEqual(await observeLinks(standing), await observeLinks(direct));
    assert.deepEqual(await observeClsact(standing), await observeClsact(direct));
    assert.deepEqual(await observeFilters(standing, "v0", "ingress"), []);
  }
  assert.equal((await observeClsact(standing)).length, 1);
  assert.deepEqual(ran, []);
  await standing.run(["ip", "link", "del", "v0"]);
  assert.equal(ran.length, 1, "a change is a program of its own");
  assert.deepEqual(
    (await observeLinks(standing)).map(({ ifname }) => ifname),
    ["lo"],
  );
  readers.leave(path);
});

test("what a reader cannot answer is an error, and the next question is answered", async () => {
  await using place = await makeNamespace();
  const { commands, path } = countingCommands(place.name);
  const readers = new StandingReaders();
  const standing = readers.in(namespaceAt(commands, path));
  await assert.rejects(observeFilters(standing, "absent", "ingress"), {
    code: "command-failed",
    message: /absent/,
  });
  assert.deepEqual(await observeClsact(standing), []);
  readers.leave(path);
});

test("another namespace under the same name has a reader of its own", async () => {
  const first = await makeNamespace();
  const { commands, path } = countingCommands(first.name);
  const readers = new StandingReaders();
  const standing = readers.in(namespaceAt(commands, path));
  {
    await using _ = first;
    await first.ip("link", "add", "old0", "type", "veth", "peer", "name", "old1");
    assert.equal((await observeLinks(standing)).length, 3);
  }
  const second = await makeNamespace({ name: first.name });
  await using _ = second;
  assert.equal((await observeLinks(standing)).length, 1);
  readers.leave(path);
});

function countingCommands(name: string) {
  const path = `/run/netns/${name}`;
  const host = hostCommands();
  const ran: (readonly string[])[] = [];
  const commands: Commands = {
    run(argv, options) {
      ran.push(argv);
      return host.run(argv, options);
    },
  };
  return { ran, commands, path };
}
