/**
 * A Suricata of the distribution on the bare host, in a root tree of its own: what tests and benches compare with.
 *
 * Invariants: the tree is unpacked once by mmdebstrap from the host's own apt sources and never changed afterwards;
 * each run has its own directory in it and leaves none behind. It is not how Bulkhead runs Suricata.
 */
import { randomBytes } from "node:crypto";
import { access, copyFile, mkdir, readFile, readdir, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "./command.ts";
import { TestkitError } from "./error.ts";

/** Where the tree is kept between runs, by default. */
export const SURICATA_ROOT = "/var/cache/bulkhead-dev/suricata-root";

const SUITE = "trixie";
const PCAP_HEADER_BYTES = 24;
const UNPACK_TIMEOUT_MS = 300_000;

/** What tests look at in an EVE record; the rest is there as Suricata wrote it. */
export interface EveRecord {
  readonly event_type: string;
  readonly src_ip?: string;
  readonly alert?: { readonly signature_id: number; readonly signature: string };
  readonly [key: string]: unknown;
}

/**
 * Returns the path of the root tree, unpacking it if it is not there.
 * @throws TestkitError `testkit-suricata-failed` if it cannot be unpacked.
 */
export async function suricataRoot(root = SURICATA_ROOT): Promise<string> {
  if (await exists(join(root, "usr/bin/suricata"))) return root;
  // Unpacked aside and renamed, so that a tree which is there is a whole one.
  const fresh = `${root}.${randomBytes(4).toString("hex")}`;
  await mkdir(join(root, ".."), { recursive: true });
  try {
    const options = ["--mode=root", "--variant=extract", "--include=suricata,base-files,libc-bin"];
    await runCommand("mmdebstrap", [...options, SUITE, fresh, await hostMirror()], {
      timeoutMs: UNPACK_TIMEOUT_MS,
    });
    await rename(fresh, root).catch(async (cause: unknown) => {
      if (!(await exists(join(root, "usr/bin/suricata")))) throw cause;
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TestkitError("testkit-suricata-failed", `the root tree of Suricata: ${reason}`, { cause });
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return root;
}

export interface SuricataRun {
  readonly pcap: string;
  readonly rules: string;
  readonly root?: string;
}

/**
 * Runs Suricata over a pcap with one rule file and returns its EVE records; none for a capture without packets.
 * @throws TestkitError `testkit-suricata-failed`, also if a rule does not load.
 */
export async function suricataRecords(run: SuricataRun): Promise<readonly EveRecord[]> {
  // Suricata does not read a file that is all header: it says so and then hangs.
  if ((await stat(run.pcap)).size <= PCAP_HEADER_BYTES) return [];
  const root = await suricataRoot(run.root);
  const inside = `/tmp/run-${randomBytes(6).toString("hex")}`;
  const outside = join(root, inside);
  await mkdir(outside, { recursive: true });
  try {
    await copyFile(run.pcap, join(outside, "in.pcap"));
    await copyFile(run.rules, join(outside, "demo.rules"));
    await writeFile(join(outside, "suricata.yaml"), CONFIGURATION);
    const rules = ["-S", `${inside}/demo.rules`, "--init-errors-fatal"];
    const input = ["-r", `${inside}/in.pcap`, "-k", "none", "-l", inside];
    const suricata = ["/usr/bin/suricata", "-c", `${inside}/suricata.yaml`, ...rules, ...input];
    await runCommand("chroot", [root, ...suricata]);
    const eve = await readFile(join(outside, "eve.json"), "utf8");
    // One JSON object a line, by Suricata's own EVE format.
    return eve.split("\n").flatMap((line) => (line === "" ? [] : [JSON.parse(line) as EveRecord]));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new TestkitError("testkit-suricata-failed", `Suricata over ${run.pcap}: ${reason}`, { cause });
  } finally {
    await rm(outside, { recursive: true, force: true });
  }
}

/** The signature ids among the alerts of a run, with how often each came. */
export function countAlerts(records: readonly EveRecord[]): ReadonlyMap<number, number> {
  const counts = new Map<number, number>();
  for (const { alert } of records) {
    if (alert !== undefined) counts.set(alert.signature_id, (counts.get(alert.signature_id) ?? 0) + 1);
  }
  return counts;
}

/** The first address of a Debian archive that the host's own apt names, in either format of sources.list(5). */
async function hostMirror(): Promise<string> {
  const directory = "/etc/apt/sources.list.d";
  const files = (await readdir(directory)).toSorted().map((name) => join(directory, name));
  for (const file of ["/etc/apt/sources.list", ...files]) {
    if (!(await exists(file))) continue;
    const text = await readFile(file, "utf8");
    const archive = /^(?:URIs:|deb\s(?:\[[^\]]*\]\s)?)\s*(\S+\/debian\/?)(?:\s|$)/m.exec(text)?.[1];
    if (archive !== undefined) return archive;
  }
  throw new TestkitError("testkit-suricata-failed", "the host's apt sources name no Debian archive");
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

const CONFIGURATION = `%YAML 1.1
---
vars:
  address-groups: { HOME_NET: "[192.168.0.0/16,10.0.0.0/8,172.16.0.0/12]", EXTERNAL_NET: "!$HOME_NET" }
  port-groups: { HTTP_PORTS: "80" }
default-log-dir: /tmp
runmode: single
stats: { enabled: no }
outputs:
  - eve-log:
      enabled: yes
      filetype: regular
      filename: eve.json
      types: [alert, { dns: { version: 2 } }, http, tls, ssh, flow]
logging: { default-log-level: notice, outputs: [{ console: { enabled: yes } }] }
classification-file: /etc/suricata/classification.config
reference-config-file: /etc/suricata/reference.config
app-layer:
  protocols:
    http: { enabled: yes }
    tls: { enabled: yes, detection-ports: { dp: 443 } }
    ssh: { enabled: yes }
    dns: { udp: { enabled: yes, detection-ports: { dp: 53 } }, tcp: { enabled: yes, detection-ports: { dp: 53 } } }
`;
