/**
 * Installation layout: the names and places of everything that Bulkhead makes on one host.
 *
 * All of them carry the installation's name, so that several installations fit on one host and
 * `down --purge` can tell its own things from everybody else's. Pure: it touches nothing.
 */
import type { InstallationName } from "./name.ts";
import { PLATFORM_VOLUME } from "./vault-api.ts";

export const DEFAULT_INSTALLATION = "bulkhead";

/** Places and names of one installation. `slug` names user, group, LXD project and pool, services. */
export interface InstallationLayout {
  readonly name: InstallationName;
  readonly slug: string;
  readonly etcDir: string;
  readonly optDir: string;
  readonly libDir: string;
  readonly runDir: string;
  readonly logDir: string;
  /** Symlink to the accepted site's directory; `site.yaml` and the files that it names lie in it. */
  readonly siteLink: string;
  readonly siteVersionsDir: string;
  /** Where root puts a site before asking for it to be applied. */
  readonly siteStagedDir: string;
  readonly settingsFile: string;
  readonly catalogueDir: string;
  readonly nodeDir: string;
  readonly volumesDir: string;
  readonly mountsDir: string;
  readonly inboxDir: string;
  readonly poolDir: string;
  /** Wrapped keys, and the master key as each method wraps it; root's alone. */
  readonly vaultDir: string;
  /** What the vault's method `file` reads; root's alone, and in no back-up. */
  readonly vaultKeyFile: string;
  /** The platform's own encrypted volume: absent until warden has opened the vault. */
  readonly platformDir: string;
  readonly brokerDir: string;
  readonly wardenDir: string;
  /** The sensor's Ed25519 key (PKCS8, PEM): root's alone, and its public half (SPKI, PEM). */
  readonly sensorKeyFile: string;
  readonly sensorPublicKeyFile: string;
  readonly sensordDir: string;
  /** The audit log; on the platform's volume, like brokerDir and sensordDir. */
  readonly auditDir: string;
  /** For each instrument that takes resources a directory of sensord's, which its container sees; on the platform's volume. */
  readonly resourcesDir: string;
  /** sensord's verbs of warden: mode 0660, group of the installation. */
  readonly wardenSocket: string;
  /** root's verbs of warden: mode 0600. */
  readonly rootSocket: string;
  /** sensord's API: mode 0600, owned by the installation's user. */
  readonly apiSocket: string;
  readonly socketsDir: string;
  /** The egress proxy's policy, and below `sockets` a directory for each instrument with egress. */
  readonly egressDir: string;
  /** sensord's socket for what the egress proxy records: `egress.sock`. */
  readonly recordDir: string;
}

/** Places that all installations of a host share. */
export const HOST_LAYOUT = {
  idmapDir: "/var/lib/bulkhead/idmap",
  hostDir: "/var/lib/bulkhead/host",
  cacheDir: "/var/cache/bulkhead",
  servicesDir: "/run/bulkhead/.services",
} as const;

export function installationLayout(name: InstallationName): InstallationLayout {
  const slug = name === DEFAULT_INSTALLATION ? "bulkhead" : `bulkhead-${name}`;
  const etcDir = `/etc/bulkhead/${name}`;
  const optDir = `/opt/bulkhead/${name}`;
  const libDir = `/var/lib/bulkhead/${name}`;
  const runDir = `/run/bulkhead/${name}`;
  const platformDir = `${libDir}/mnt/${PLATFORM_VOLUME.instrument}/${PLATFORM_VOLUME.id}/d`;
  return {
    name,
    slug,
    etcDir,
    optDir,
    libDir,
    runDir,
    logDir: `/var/log/bulkhead/${name}`,
    siteLink: `${etcDir}/site`,
    siteVersionsDir: `${etcDir}/sites`,
    siteStagedDir: `${etcDir}/site.staged`,
    settingsFile: `${etcDir}/installation.json`,
    catalogueDir: `${optDir}/catalogue`,
    nodeDir: `${optDir}/node`,
    volumesDir: `${libDir}/volumes`,
    mountsDir: `${libDir}/mnt`,
    inboxDir: `${libDir}/inbox`,
    poolDir: `${libDir}/pool`,
    vaultDir: `${libDir}/vault`,
    vaultKeyFile: `${etcDir}/vault.key`,
    platformDir,
    brokerDir: `${platformDir}/broker`,
    wardenDir: `${libDir}/warden`,
    sensorKeyFile: `${libDir}/warden/sensor-key.pem`,
    sensorPublicKeyFile: `${libDir}/warden/sensor-key.pub`,
    sensordDir: `${platformDir}/sensord`,
    auditDir: `${platformDir}/audit`,
    resourcesDir: `${platformDir}/resources`,
    wardenSocket: `${runDir}/warden.sock`,
    rootSocket: `${runDir}/root.sock`,
    apiSocket: `${runDir}/api.sock`,
    socketsDir: `${runDir}/sockets`,
    egressDir: `${runDir}/egress`,
    recordDir: `${runDir}/record`,
  };
}
