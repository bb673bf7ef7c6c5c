/**
 * Installation layout: the names and places of everything that Bulkhead makes on one host.
 *
 * All of them carry the installation's name, so that several installations fit on one host and
 * `down --purge` can tell its own things from everybody else's. Pure: it touches nothing.
 */
import type { InstallationName } from "./name.ts";

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
  readonly brokerDir: string;
  readonly wardenDir: string;
  readonly sensordDir: string;
  /** sensord's verbs of warden: mode 0660, group of the installation. */
  readonly wardenSocket: string;
  /** root's verbs of warden: mode 0600. */
  readonly rootSocket: string;
  /** sensord's API: mode 0600, owned by the installation's user. */
  readonly apiSocket: string;
  readonly socketsDir: string;
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
    brokerDir: `${libDir}/broker`,
    wardenDir: `${libDir}/warden`,
    sensordDir: `${libDir}/sensord`,
    wardenSocket: `${runDir}/warden.sock`,
    rootSocket: `${runDir}/root.sock`,
    apiSocket: `${runDir}/api.sock`,
    socketsDir: `${runDir}/sockets`,
  };
}
