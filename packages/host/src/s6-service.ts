/**
 * s6 service directories of the platform's processes, as text: a `run` script each for the process and its logger.
 *
 * Pure. The scripts are made of names and paths only; every word is checked, so nothing in them is ever interpreted.
 * s6 itself starts a process at most once a second. It cannot hold a process to address families as systemd does:
 * under s6, that warden opens no network socket rests on its code alone.
 */
import type { ServiceDefinition } from "./supervisor.ts";
import { serviceUmask, unitWord } from "./systemd-unit.ts";

/** Relative path → content. */
export type ServiceDirectory = Readonly<Record<string, string>>;

/** @see s6-supervise(1), s6-log(1): ten files of 1 MB each, lines stamped in UTC. */
export function renderServiceDirectory(service: ServiceDefinition): ServiceDirectory {
  const asUser = service.user === "root" ? "" : `s6-setuidgid ${unitWord(service.user)} `;
  return {
    run: [
      "#!/bin/sh",
      `# ${service.description}`,
      "exec 2>&1",
      `umask ${serviceUmask(service)}`,
      "cd /",
      // Where even root may not raise it, as much as there is.
      'ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -H -n)"',
      "ulimit -c 0",
      // Instruments are killed first when the host's memory ends. Lowering takes CAP_SYS_RESOURCE, which not every
      // host's root has; there the instruments' own raised scores (engine/resource-limits.ts) do it alone.
      "echo -900 2>/dev/null >/proc/self/oom_score_adj || :",
      ...waitLines(service),
      `exec env -i PATH=${path} LC_ALL=C.UTF-8 BULKHEAD_BUILD=${unitWord(service.build)} ` +
        `${asUser}${service.argv.map(unitWord).join(" ")}`,
      "",
    ].join("\n"),
    // Milliseconds that a process has to end by itself, then it is killed.
    "timeout-kill": "15000\n",
    "log/run": [
      "#!/bin/sh",
      "umask 027",
      `exec ${asUser}s6-log -b n10 s1000000 T ${unitWord(service.logDir)}`,
      "",
    ].join("\n"),
  };
}

const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function waitLines(service: ServiceDefinition): readonly string[] {
  if (service.waitFor === null) return [];
  return [`until test -s ${unitWord(service.waitFor)}; do sleep 0.2; done`];
}
