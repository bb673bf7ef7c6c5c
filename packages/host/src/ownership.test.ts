import assert from "node:assert/strict";
import { test } from "node:test";
import { parseEngineTag, renderSpanTag, renderWireTag, engineTag } from "../../warden/src/datapath/naming.ts";
import { aliasOwner, isUnder, mountsUnder, ownsDevice, ownsNamespace, spanOrigin } from "./ownership.ts";

const span = { engine: "capture", interface: "span0", device: "eth1", mtu: 1500, gro: "on" } as const;

test("what warden writes into an alias is read here as whose it is", () => {
  const tag = engineTag("bulkhead-a", "capture");
  assert.equal(parseEngineTag("bulkhead-a", tag), "capture");
  assert.deepEqual(aliasOwner(tag), { kind: "engine", slug: "bulkhead-a" });
  const wire = renderWireTag({ slug: "bulkhead-a", engine: "c", instrument: "ids", dropped: 0, guarded: 1 });
  assert.deepEqual(aliasOwner(wire), { kind: "wire", slug: "bulkhead-a" });
  const alias = renderSpanTag({ slug: "bulkhead-a", ...span });
  const origin = { device: "eth1", mtu: 1500, gro: "on" };
  assert.deepEqual(spanOrigin("bulkhead-a", { name: "span0", alias }), origin);
  assert.equal(spanOrigin("bulkhead", { name: "span0", alias }), null);
});

test("a namespace's alias decides, not its name: names that begin alike are told apart", () => {
  const name = "bulkhead-a-ids";
  assert.equal(ownsNamespace("bulkhead", name, engineTag("bulkhead", "a-ids")), true);
  assert.equal(ownsNamespace("bulkhead", name, engineTag("bulkhead-a", "ids")), false);
  assert.equal(ownsNamespace("bulkhead-a", name, engineTag("bulkhead-a", "ids")), true);
  assert.equal(ownsNamespace("bulkhead", name, null), false, "in doubt it is not ours");
  assert.equal(ownsNamespace("bulkhead", "bulkhead-capture", "somebody's"), false);
});

test("the demo's namespaces are known by their exact form", () => {
  assert.equal(ownsNamespace("bulkhead", "bulkhead-net-web", null), true);
  assert.equal(ownsNamespace("bulkhead", "bulkhead-a-net-web", null), false);
  assert.equal(ownsNamespace("bulkhead-a", "bulkhead-a-net-web", null), true);
  assert.equal(ownsNamespace("bulkhead", "bulkhead-net-net-web", null), false, "installation `net`'s");
  assert.equal(ownsNamespace("bulkhead", "bulkhead-networks", null), false);
});

test("a device without our alias is somebody else's, whatever it is called", () => {
  assert.equal(ownsDevice("bulkhead", { name: "bh0123456789abc", alias: null }), false);
  assert.equal(ownsDevice("bulkhead", { name: "x", alias: "bulkhead wire bulkhead-a c i 0 0" }), false);
  assert.equal(ownsDevice("bulkhead", { name: "x", alias: "bulkhead wire bulkhead c i 0 0" }), true);
  assert.equal(ownsDevice("bulkhead", { name: "x", alias: "not bulkhead wire bulkhead c" }), false);
});

test("a directory that begins alike is not under it", () => {
  assert.equal(isUnder("/var/lib/bulkhead/a", "/var/lib/bulkhead/a/pool"), true);
  assert.equal(isUnder("/var/lib/bulkhead/a", "/var/lib/bulkhead/ab"), false);
  assert.equal(isUnder("/var/lib/bulkhead/a", ""), false);
});

test("mounts under our directories come deepest first, others not at all", () => {
  const line = (point: string): string => `30 1 0:1 / ${point} rw - ext4 /dev/loop0 rw`;
  const points = ["/", "/l/a", "/l/a/mnt/x", "/l/ab", "/l/a/with\\040blank"].map(line).join("\n");
  assert.deepEqual(mountsUnder(["/l/a"], points), ["/l/a/with blank", "/l/a/mnt/x", "/l/a"]);
});
