/**
 * Profiles of the instruments that warden made: from what it recorded of each, never from what a container says.
 *
 * Invariants: an instrument without a readable record or without an id range is unknown, and will be made anew.
 */
import type { InstallationLayout } from "@bulkhead/schema";
import type { VolumeStore } from "../volumes/volume-store.ts";
import type { Dialect } from "./dialect.ts";
import type { HostFacts } from "./host-facts.ts";
import type { IdmapClaims } from "./idmap-claims.ts";
import { type InstrumentRecord, instrumentRecords } from "./instrument-record.ts";
import { type ProfilePaths, profilePaths } from "./profile-paths.ts";
import { type ContainerProfile, planProfile } from "./profile.ts";

export interface KnownInstrument {
  readonly record: InstrumentRecord;
  readonly profile: ContainerProfile;
  readonly paths: ProfilePaths;
  readonly idmapBase: number;
}

export interface KnownInstruments {
  /** Plans the profile of a new one, and claims its id range. */
  plan(record: InstrumentRecord): Promise<KnownInstrument>;
  find(instrument: string): Promise<KnownInstrument | null>;
  keep(known: KnownInstrument): Promise<void>;
  forget(instrument: string): Promise<void>;
}

export function knownInstruments(parts: {
  readonly layout: InstallationLayout;
  readonly dialect: Dialect;
  readonly host: HostFacts;
  readonly idmaps: IdmapClaims;
  readonly volumes: Pick<VolumeStore, "dataDir">;
}): KnownInstruments {
  const { layout, dialect, host, idmaps, volumes } = parts;
  const records = instrumentRecords(layout);
  const known = (record: InstrumentRecord, idmapBase: number): KnownInstrument => {
    const { spec, specDigest } = record;
    const paths = profilePaths(layout, spec, (id) => volumes.dataDir({ instrument: spec.name, id }));
    const profile = planProfile({ spec, specDigest, paths, idmapBase, dialect, host });
    return { record, profile, paths, idmapBase };
  };
  return {
    plan: async (record) => known(record, await idmaps.baseOf(record.spec.name)),
    async find(instrument) {
      const record = await records.read(instrument);
      const base = record === null ? null : await idmaps.recordedBase(instrument);
      return record === null || base === null ? null : known(record, base);
    },
    keep: ({ record }) => records.write(record),
    forget: (instrument) => records.remove(instrument),
  };
}
