/** What a DHCP server may say, and what is made of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { checkLease, parseLeaseReport } from "./lease.ts";

const LINE = "event=bound\tip=192.0.2.60\tmask=24\trouter=192.0.2.1\tserverid=192.0.2.1\tlease=3600";
const check = (line: string, taken: readonly string[] = []) => {
  const report = parseLeaseReport(line);
  const objection = ({ address }: { readonly address: string }) =>
    taken.includes(address) ? "another instrument's" : null;
  return report === null ? null : checkLease(report, objection);
};

test("a sound lease is taken", () => {
  assert.deepEqual(check(LINE), {
    ok: true,
    lease: {
      address: { family: "ipv4", address: "192.0.2.60", prefix: 24 },
      gateway: "192.0.2.1",
      server: "192.0.2.1",
      validS: 3600,
    },
  });
});

test("what is no lease is refused with its reason", () => {
  const refused = [
    [LINE.replace("ip=192.0.2.60\t", ""), /lacks/],
    [LINE.replace("ip=192.0.2.60", "ip=224.0.0.5"), /no address for a device/],
    [LINE.replace("ip=192.0.2.60", "ip=127.0.0.5"), /no address for a device/],
    [LINE.replace("ip=192.0.2.60", "ip=192.0.2.1"), /server's own/],
    [LINE.replace("ip=192.0.2.60", "ip=192.0.2.255"), /broadcast/],
    [LINE.replace("ip=192.0.2.60", "ip=192.0.2.0"), /network's own/],
    [LINE.replace("lease=3600", "lease=119"), /shorter/],
  ] as const;
  for (const [line, reason] of refused) {
    const found = check(line);
    assert.ok(found !== null && !found.ok, line);
    assert.match(found.reason, reason);
  }
  const taken = check(LINE, ["192.0.2.60"]);
  assert.ok(taken !== null && !taken.ok && /another instrument/.test(taken.reason));
});

test("a line that is no report is none", () => {
  for (const line of ["", "udhcpc: started", "event=other", LINE.replace("mask=24", "mask=0"), `${LINE}x`])
    assert.equal(parseLeaseReport(line), null, line);
});

test("a gateway out of reach is left out, a long lease is cut", () => {
  const far = check(
    LINE.replace("router=192.0.2.1", "router=198.51.100.1").replace("lease=3600", "lease=4294967295"),
  );
  assert.ok(far?.ok);
  assert.equal(far.lease.gateway, null);
  assert.equal(far.lease.validS, 30 * 86_400);
});
