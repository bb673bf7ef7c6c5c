/**
 * Destroy an instrument's data, its keys first. The site then makes it anew, empty, if it still has it; what sensord
 * keeps of it goes when it hears of the erasure.
 */
import { randomUUID } from "node:crypto";
import type { Observed, Step } from "@bulkhead/schema";
import { WardenError } from "../error.ts";
import type { HolderParts } from "./ports.ts";

/**
 * @param take takes one step, and throws where it fails
 * @throws WardenError `unknown-instrument` where nothing is kept for it
 */
export async function destroyData(
  instrument: string,
  { volumes, instruments }: Pick<Observed, "volumes" | "instruments">,
  { state, audit, nowMs }: Pick<HolderParts, "state" | "audit" | "nowMs">,
  take: (step: Step) => Promise<void>,
): Promise<void> {
  const own = volumes.filter((volume) => volume.instrument === instrument);
  if (own.length === 0 && !instruments.some(({ name }) => name === instrument)) {
    throw new WardenError("unknown-instrument", `nothing is kept for an instrument ${instrument}`);
  }
  const because = { why: "its data is to be destroyed", instrument };
  await audit.append("vault.destroy", instrument, { volumes: own.length });
  await take({ kind: "instrument.remove", target: instrument, ...because });
  for (const { id } of own) {
    await take({ kind: "volume.remove", target: `${instrument}/${id}`, ...because, id });
  }
  const at = new Date(nowMs()).toISOString();
  await state.recordErasure({ instrument, id: randomUUID(), at });
}
