/**
 * A witness of an attack: captures and counters at every place that a frame could reach: the span's far end, the span
 * itself, another tap, and the host. Frames that the test put onto the network itself are told to it and left out.
 */
import { join } from "node:path";
import { capture } from "@bulkhead/testkit";
import { inNamed, inNetworkOf, packetsOf, recordIn } from "./inside.ts";
import { FAR_END, type SensorStand } from "./sensor-stand.ts";
import { SPAN_KEY } from "./stand-site.ts";

/** Who attacks: these stand in every frame and address of the attack. */
export const ATTACKER_MAC = "026600000066";
export const ATTACKER_IPV4 = "192.0.2.66";
export const ATTACKER_IPV6 = "2001:db8::66";
/** EtherType for local experiments (IEEE 802). */
export const ATTACK_TYPE = "88b5";

/** All zeros and empty: nothing got anywhere. */
export interface Testimony {
  readonly atFarEnd: readonly string[];
  readonly atOtherTap: readonly string[];
  readonly onHost: number;
  /** By the kernel's counters, which see what a capture may not. */
  readonly counted: { readonly farEnd: number; readonly span: number; readonly otherTap: number };
}

export const NOTHING_SEEN: Testimony = {
  atFarEnd: [],
  atOtherTap: [],
  onHost: 0,
  counted: { farEnd: 0, span: 0, otherTap: 0 },
};

/**
 * Watches while `attack` runs. `legitimate` are frames that the test sends from the far end meanwhile; the attack
 * returns once they are sent.
 * @param other the instrument whose tap is watched; it runs throughout
 */
export async function witness(
  stand: SensorStand,
  other: string,
  legitimate: readonly string[],
  attack: () => Promise<void>,
): Promise<Testimony> {
  const { tools } = stand;
  const farEnd = inNamed(stand.network.name);
  const engine = inNamed(stand.engineNamespace);
  const tap = inNetworkOf(await stand.initPid(other));
  await using atFarEnd = await recordIn(farEnd, tools, FAR_END);
  await using atOtherTap = await recordIn(tap, tools, "mon0");
  const suspicious = `ether proto 0x${ATTACK_TYPE} or host ${ATTACKER_IPV4} or ip6 host ${ATTACKER_IPV6}`;
  const file = join(stand.directory, "host.pcap");
  await using onHost = await capture({ device: "any", file, filter: [suspicious] });
  const count = async () => ({
    farEnd: (await packetsOf(farEnd, FAR_END)).received,
    span: (await packetsOf(engine, SPAN_KEY)).sent,
    otherTap: (await packetsOf(tap, "mon0")).received,
  });
  const before = await count();
  await attack();
  const after = await count();
  const own = new Set(legitimate);
  return {
    atFarEnd: (await atFarEnd.stop()).filter((frame) => !own.has(frame)),
    atOtherTap: (await atOtherTap.stop()).filter((frame) => !own.has(frame)),
    onHost: await onHost.stop(),
    counted: {
      farEnd: after.farEnd - before.farEnd,
      span: after.span - before.span,
      otherTap: after.otherTap - before.otherTap - legitimate.length,
    },
  };
}
