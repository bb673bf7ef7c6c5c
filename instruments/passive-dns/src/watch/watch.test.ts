import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { BlockList, isIPv4 } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { EntryTable } from "./entry-table.ts";
import { networkOf, parseNetwork } from "./network.ts";
import { Watch, type WatchOptions } from "./watch.ts";

class Place implements AsyncDisposable {
  readonly dir: string;
  readonly watch: Watch;
  nowMs = 0;

  private constructor(dir: string, options: Partial<WatchOptions>) {
    this.dir = dir;
    this.watch = new Watch({ ...options, now: () => this.nowMs });
  }

  static async open(options: Partial<WatchOptions> = {}): Promise<Place> {
    return new Place(await mkdtemp(join(tmpdir(), "bh-test-watch-")), options);
  }

  async take(text: string, name = "bad"): Promise<number> {
    const path = join(this.dir, name);
    await writeFile(path, text);
    return this.watch.take({ from: "downloader", name, path, version: "1-abc" });
  }

  /** Entries that a record falls under. */
  seen(rrname: string, rrtype = "A", rdata = "203.0.113.1"): readonly string[] {
    return this.watch
      .sightings([{ rrname, rrtype, rdata }], "2026-01-02T03:04:05Z")
      .map(({ entry }) => entry);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.dir, { recursive: true, force: true });
  }
}

test("a domain stands for itself and what is below it, at the borders of labels alone", async () => {
  await using place = await Place.open();
  assert.equal(
    await place.take("# a list\nEvil.Example. # why\n*.wild.example\n\n.dot.example\ndeep.evil.example\n"),
    4,
  );
  assert.deepEqual(place.seen("evil.example"), ["evil.example"]);
  assert.deepEqual(place.seen("a.b.evil.example"), ["evil.example"]);
  assert.deepEqual(place.seen("www.deep.evil.example"), ["deep.evil.example"]);
  assert.deepEqual(place.seen("x.wild.example"), ["wild.example"]);
  assert.deepEqual(place.seen("dot.example"), ["dot.example"]);
  assert.deepEqual(place.seen("notevil.example"), []);
  assert.deepEqual(place.seen("example"), []);
  assert.deepEqual(place.seen("www.good.example", "CNAME", "cdn.evil.example"), ["evil.example"]);
});

test("addresses and networks are found in every spelling, the closest first", async () => {
  await using place = await Place.open();
  await place.take("192.0.2.0/24\n192.0.2.7\n10.1.2.3/8\n2001:DB8:0::/32\n2001:db8::1\n");
  assert.deepEqual(place.seen("a.example", "A", "192.0.2.7"), ["192.0.2.7"]);
  assert.deepEqual(place.seen("a.example", "A", "192.0.2.8"), ["192.0.2.0/24"]);
  assert.deepEqual(place.seen("a.example", "A", "10.255.0.1"), ["10.0.0.0/8"]);
  assert.deepEqual(place.seen("a.example", "A", "11.0.0.1"), []);
  assert.deepEqual(place.seen("a.example", "AAAA", "2001:db8::1"), ["2001:db8::1"]);
  assert.deepEqual(place.seen("a.example", "AAAA", "2001:db8:ffff::9"), ["2001:db8::/32"]);
  assert.deepEqual(place.seen("a.example", "TXT", "192.0.2.7"), [], "text is no address");
});

test("what falls under an entry is told once in a window", async () => {
  await using place = await Place.open({ windowMs: 1_000, mostRemembered: 2 });
  await place.take("evil.example\n");
  await place.take("evil.example\n192.0.2.1\n", "other");
  assert.equal(place.seen("evil.example").length, 2, "by each list");
  place.nowMs = 999;
  assert.equal(place.seen("evil.example").length, 0);
  place.nowMs = 1_000;
  assert.equal(place.seen("evil.example").length, 2);
  assert.deepEqual(place.seen("a.evil.example", "A", "192.0.2.1"), [
    "evil.example",
    "evil.example",
    "192.0.2.1",
  ]);
  assert.deepEqual(place.watch.sightings([{ rrname: "b.evil.example", rrtype: "MX", rdata: "10 x" }], "t"), [
    {
      name: "b.evil.example",
      entry: "evil.example",
      list: "downloader/bad",
      record: { rrname: "b.evil.example", rrtype: "MX", rdata: "10 x" },
      time: "t",
    },
    {
      name: "b.evil.example",
      entry: "evil.example",
      list: "downloader/other",
      record: { rrname: "b.evil.example", rrtype: "MX", rdata: "10 x" },
      time: "t",
    },
  ]);
});

test("a list is replaced whole, and one that is refused leaves the former", async () => {
  await using place = await Place.open({ mostEntries: 4 });
  await place.take("one.example\ntwo.example\n");
  await place.take("two.example\nthree.example\n");
  assert.deepEqual([place.seen("one.example"), place.seen("three.example")], [[], ["three.example"]]);
  await assert.rejects(place.take("a.example\nb.example\nc.example\n", "other"), /more than 2 entries/);
  await assert.rejects(place.take("# nothing\n"), /no entry/);
  await assert.rejects(place.take("<html>\n<body>\nx.example\n"), /2 of its lines .* line 1 first/);
  assert.deepEqual(place.watch.status(), {
    lists: [{ name: "downloader/bad", entries: 2 }],
    refused: [
      { name: "downloader/other", reason: "1-abc: it has more than 2 entries, for which there is room" },
      {
        name: "downloader/bad",
        reason: "1-abc: 2 of its lines are neither domain nor address, line 1 first",
      },
    ],
  });
  place.nowMs = 1e9;
  assert.deepEqual(place.seen("three.example"), ["three.example"]);
});

test("the table holds what was added and nothing else", () => {
  const entries = fc.array(fc.stringMatching(/^[a-z0-9./:-]{1,20}$/), { maxLength: 200 });
  fc.assert(
    fc.property(entries, entries, (added, others) => {
      const table = new EntryTable(added.length, added.join("").length);
      for (const entry of added) table.add(entry);
      const model = new Set(added);
      assert.equal(table.size, model.size);
      for (const entry of [...added, ...others]) assert.equal(table.has(entry), model.has(entry));
      assert.equal(table.has("x".repeat(300)), false);
    }),
  );
});

test("networks contain what node:net says that they contain", () => {
  const address = fc.oneof(fc.ipV4(), fc.ipV6());
  fc.assert(
    fc.property(address, fc.nat(128), address, fc.boolean(), (base, length, other, same) => {
      const family = isIPv4(base) ? 4 : 6;
      const prefix = length % (family === 4 ? 33 : 129);
      const network = parseNetwork(`${base}/${prefix}`);
      assert.ok(network !== null);
      const asked = same ? base : other;
      if ((isIPv4(asked) ? 4 : 6) !== family) return;
      const list = new BlockList();
      list.addSubnet(base, prefix, family === 4 ? "ipv4" : "ipv6");
      const contains = networkOf(asked, family, prefix) === network.text;
      assert.equal(contains, list.check(asked, family === 4 ? "ipv4" : "ipv6"));
    }),
  );
});

test("a million entries are read within the instrument's memory", async () => {
  await using place = await Place.open();
  const lines = Array.from(
    { length: 1_000_000 },
    (_, n) => `host-${n.toString(36)}.domain-${n % 977}.example`,
  );
  const before = process.memoryUsage().arrayBuffers;
  assert.equal(await place.take(lines.join("\n")), 1_000_000);
  const usedMiB = (process.memoryUsage().arrayBuffers - before) / 2 ** 20;
  assert.ok(usedMiB < 60, `${usedMiB} MiB`);
  assert.deepEqual(place.seen(`a.${lines[999_999]}`), [lines[999_999]]);
  await assert.rejects(place.take(`${lines.join("\n")}\nmore.example\n`, "too-much"), /there is room/);
});
