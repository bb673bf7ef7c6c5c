/**
 * systemd units of the platform's processes, and the tmpfiles.d entry of the run-time directory, as text.
 *
 * Pure; `packaging/systemd/` holds what it renders for the default installation, and a test keeps them the same.
 * warden gets nothing that needs a mount namespace of its own (ProtectSystem= and the like): the volumes that it
 * mounts and the namespaces that it makes must be seen by the container runtime. What holds it is the list of
 * address families: nothing but what it and its children in namespaces of their own need.
 * sensord and the broker see a read-only host and reach loopback alone.
 */
import type { InstallationLayout } from "@bulkhead/schema";
import type { ServiceDefinition } from "./supervisor.ts";

/** @see systemd.service(5), systemd.exec(5), systemd.resource-control(5) */
export function renderUnit(service: ServiceDefinition): string {
  return [
    "[Unit]",
    `Description=${service.description}`,
    "After=local-fs.target lxd.service incus.service",
    // Whatever dies comes back, however often; RestartSec keeps it slow.
    "StartLimitIntervalSec=0",
    "",
    "[Service]",
    "Type=exec",
    ...waitLines(service),
    `ExecStart=${service.argv.map(unitWord).join(" ")}`,
    "ExecReload=/bin/kill -HUP $MAINPID",
    `Environment=BULKHEAD_BUILD=${unitWord(service.build)}`,
    `User=${unitWord(service.user)}`,
    `Group=${unitWord(service.user)}`,
    "Restart=always",
    "RestartSec=1",
    "TimeoutStopSec=30",
    `UMask=0${serviceUmask(service)}`,
    "LimitNOFILE=65536",
    "LimitCORE=0",
    // Instruments are killed first when the host's memory ends.
    "OOMScoreAdjust=-900",
    ...hardeningLines(service),
    "",
    "[Install]",
    "WantedBy=multi-user.target",
    "",
  ].join("\n");
}

/** The run-time directory is gone after a reboot, and sandboxed units need it before they start. */
export function renderTmpfiles(layout: InstallationLayout): string {
  return [
    "# Run-time directories of Bulkhead; see tmpfiles.d(5).",
    "d /run/bulkhead 0755 root root -",
    `d ${layout.runDir} 1770 root ${layout.slug} -`,
    `d ${layout.socketsDir} 0711 root root -`,
    `d ${layout.egressDir} 0755 root root -`,
    `d ${layout.egressDir}/sockets 0755 root root -`,
    `d ${layout.recordDir} 0755 ${layout.slug} ${layout.slug} -`,
    "",
  ].join("\n");
}

/** warden makes directories that containers pass through; what the others write is for their user alone. */
export function serviceUmask(service: ServiceDefinition): string {
  return service.hardening.profile === "datapath" ? "022" : "077";
}

/**
 * One word of a unit file: names, numbers and paths only, so that no quoting is ever needed.
 * @throws RangeError for anything else, which no validated name can become
 */
export function unitWord(word: string): string {
  if (!/^[A-Za-z0-9/][A-Za-z0-9/._-]*$|^-[A-Za-z0-9-]+(=[0-9]+)?$/.test(word)) {
    throw new RangeError(`not fit for a unit file: ${JSON.stringify(word)}`);
  }
  return word;
}

function waitLines(service: ServiceDefinition): readonly string[] {
  if (service.waitFor === null) return [];
  const file = unitWord(service.waitFor);
  return [`ExecStartPre=/bin/sh -c 'until test -s ${file}; do sleep 0.2; done'`, "TimeoutStartSec=infinity"];
}

function hardeningLines(service: ServiceDefinition): readonly string[] {
  const families = `RestrictAddressFamilies=${service.hardening.addressFamilies.join(" ")}`;
  const common = [
    families,
    "NoNewPrivileges=yes",
    "RestrictRealtime=yes",
    "RestrictSUIDSGID=yes",
    "LockPersonality=yes",
    "SystemCallArchitectures=native",
    ...(service.hardening.network === "any" ? [] : ["IPAddressDeny=any"]),
    ...(service.hardening.network === "loopback" ? ["IPAddressAllow=localhost"] : []),
  ];
  if (service.hardening.profile === "datapath") {
    return [
      ...common,
      "RestrictNamespaces=net mnt pid",
      `CapabilityBoundingSet=${DATAPATH_CAPABILITIES.join(" ")}`,
    ];
  }
  return [
    ...common,
    "RestrictNamespaces=yes",
    "CapabilityBoundingSet=",
    "AmbientCapabilities=",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "ProtectClock=yes",
    "ProtectControlGroups=yes",
    "ProtectHostname=yes",
    "ProtectKernelLogs=yes",
    "ProtectKernelModules=yes",
    "ProtectKernelTunables=yes",
    "ProtectProc=invisible",
    "PrivateDevices=yes",
    "PrivateTmp=yes",
    "RemoveIPC=yes",
    "SystemCallFilter=@system-service",
    "SystemCallErrorNumber=EPERM",
    `ReadWritePaths=${service.hardening.writable.map(unitWord).join(" ")}`,
  ];
}

/** What `ip`, `tc`, `mount`, `losetup`, `setpriv` and entering a container's network namespace need. */
const DATAPATH_CAPABILITIES = [
  "CAP_BPF",
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_PERFMON",
  "CAP_SETGID",
  "CAP_SETPCAP",
  "CAP_SETUID",
  "CAP_SYS_ADMIN",
  "CAP_SYS_PTRACE",
  "CAP_SYS_RESOURCE",
];
