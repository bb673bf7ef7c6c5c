/**
 * Retention subjects: every store that has a period under a site: what each instrument keeps on its
 * volumes, its events, its log lines; and what the platform keeps of itself. Pure.
 */
import { periodOf, platformPeriod, type RetentionPeriod } from "@bulkhead/core";
import { type Name, type Need, PLATFORM_NAME, type RetentionRow, subjects } from "@bulkhead/schema";
import type { SiteView } from "../site-view.ts";

export interface RetentionSubject {
  /** Names it among all of them. */
  readonly key: string;
  readonly owner: Name;
  readonly store: RetentionRow["store"];
  readonly period: RetentionPeriod;
  /** The broker's stream; null where it is none. */
  readonly stream: string | null;
  /** Volumes of closed files, whose births can be measured; not those that are cut, which is measure enough. */
  readonly fileVolumes: readonly string[];
  readonly volumes: readonly string[];
  readonly enabled: boolean;
}

export function retentionSubjects({ checked }: SiteView): readonly RetentionSubject[] {
  const { site, document } = checked;
  const policy = site.policy.retention;
  const own = platformPeriod(policy, document);
  const instruments = checked.instruments.flatMap((instrument) => {
    const { name, package: offered } = instrument;
    const { needs } = offered.manifest;
    const { enabled } = instrument.site;
    const period = periodOf(instrument, policy, document);
    const persistent = needs.flatMap((need) => (need.kind === "storage.persistent" ? [need] : []));
    const sliced = (checked.desired.instruments.find((i) => i.name === name)?.spec.volumes ?? []).flatMap(
      ({ id, slices }) => (slices === undefined ? [] : [id]),
    );
    return [
      ...(persistent.length === 0
        ? []
        : [
            {
              ...subject(name, "records", period, null, enabled),
              volumes: persistent.map(({ id }) => id),
              fileVolumes: persistent.flatMap(({ id, retention }) =>
                retention?.measure === "files" && !sliced.includes(id) ? [id] : [],
              ),
            },
          ]),
      ...(sliced.length === 0 ? [] : [subject(name, "slices", period, null, enabled)]),
      ...(emits(needs) ? [subject(name, "events", period, subjects.stream(name), enabled)] : []),
      subject(name, "log", own, subjects.logStream(name), enabled),
      subject(name, "refusals", own, null, enabled),
    ];
  });
  return [...instruments, subject(PLATFORM_NAME, "events", own, subjects.stream(PLATFORM_NAME), true)];
}

function subject(
  owner: Name,
  store: RetentionRow["store"],
  period: RetentionPeriod,
  stream: string | null,
  enabled: boolean,
): RetentionSubject {
  return { key: `${owner}/${store}`, owner, store, period, stream, enabled, volumes: [], fileVolumes: [] };
}

function emits(needs: readonly Need[]): boolean {
  return needs.some((need) => need.kind === "event.emit");
}
