/**
 * What warden remembers of each container that it made: the spec, so that the container can be read back against its
 * profile without asking anybody.
 *
 * Invariants: root-owned, written whole before the container is made and removed after it is gone; the digest ties it
 * to the container. It is no second site: nothing is decided from it.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { type InstallationLayout, InstrumentSpec, Name } from "@bulkhead/schema";
import * as z from "zod";
import { writeFileAtomically } from "../site/atomic-file.ts";
import { readIfPresent } from "../site/read-file.ts";

const InstrumentRecord = z.strictObject({ spec: InstrumentSpec, specDigest: z.string() });
export type InstrumentRecord = z.infer<typeof InstrumentRecord>;

export interface InstrumentRecords {
  /** Null where there is none, or none that this program can read. */
  read(instrument: string): Promise<InstrumentRecord | null>;
  write(record: InstrumentRecord): Promise<void>;
  remove(instrument: string): Promise<void>;
}

export function instrumentRecords(layout: Pick<InstallationLayout, "wardenDir">): InstrumentRecords {
  const file = (instrument: string) =>
    join(layout.wardenDir, "instruments", `${Name.parse(instrument)}.json`);
  return {
    async read(instrument) {
      const text = await readIfPresent(file(instrument));
      if (text === null) return null;
      return InstrumentRecord.safeParse(parseJson(text)).data ?? null;
    },
    write: (record) => writeFileAtomically(file(record.spec.name), JSON.stringify(record)),
    remove: (instrument) => rm(file(instrument), { force: true }),
  };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // then there is no record, and the container is made anew
  }
}
