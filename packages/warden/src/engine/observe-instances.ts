/**
 * Observation of the installation's containers, each read back against its profile.
 *
 * Invariants: reads only; a container that is not ours by record and digest is reported as such, never skipped; one
 * whose first process ended meanwhile is stopped, not deviating.
 */
import { CANARY_NAME, Name, type ObservedInstrument } from "@bulkhead/schema";
import * as z from "zod";
import { configDeviations } from "./config-deviations.ts";
import { pidOf, stateOf } from "./instance-state.ts";
import type { KernelView } from "./kernel-view.ts";
import type { KnownInstruments } from "./known-instruments.ts";
import { kernelDeviations } from "./profile-readback.ts";
import { SPEC_DIGEST_KEY } from "./profile.ts";
import type { RuntimeClient } from "./runtime-client.ts";
import { Instance } from "./runtime-schemas.ts";

export async function observeInstances(
  client: RuntimeClient,
  instruments: KnownInstruments,
  kernel: KernelView,
): Promise<readonly ObservedInstrument[]> {
  const found = await client.get("/1.0/instances?recursion=1", z.array(Instance));
  // A canary is nobody's instrument: who makes it sees to it.
  const named = found.filter(({ name }) => name !== CANARY_NAME && Name.safeParse(name).success);
  return Promise.all(named.map((instance) => observeOne(instance, { client, instruments, kernel })));
}

async function observeOne(
  instance: Instance,
  parts: {
    readonly client: RuntimeClient;
    readonly instruments: KnownInstruments;
    readonly kernel: KernelView;
  },
): Promise<ObservedInstrument> {
  const { name } = instance;
  const known = await parts.instruments.find(name);
  const specDigest = instance.config[SPEC_DIGEST_KEY] ?? null;
  const state = stateOf(instance);
  const pid = state === "running" ? await pidOf(parts.client, name, undefined) : null;
  if (known === null || known.record.specDigest !== specDigest) {
    return { name, specDigest: null, state, pid, deviations: ["it was not made by this installation"] };
  }
  const config = configDeviations(known.profile, instance);
  if (state !== "running") return { name, specDigest, state, pid, deviations: [...config] };
  const process = pid === null ? null : await kernelDeviations(known.profile, pid, parts.kernel);
  if (process === null) return { name, specDigest, state: "stopped", pid: null, deviations: [...config] };
  return { name, specDigest, state, pid, deviations: [...config, ...process] };
}
