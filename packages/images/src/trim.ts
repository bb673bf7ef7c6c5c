/**
 * What of a distribution's tree does not go into an image: by path, and by package.
 *
 * Some paths never go in (they tell of the build host, or the container gets them at run time).
 * A trimmed image also loses package managers, interpreters and everything that only those needed;
 * what the recipe names is kept whatever these rules say. Pure.
 */
import type { DistributionPackage } from "./inventory.ts";

/** Regular expressions as text, so that they are a part of the content address. */
export const TRIM_RULES = {
  /** Paths relative to the root, without a leading slash; a directory goes with what it holds. */
  never: [
    "^(?:boot|dev|proc|sys|run|tmp|home|media|mnt|srv|opt|data|inbox|resources)/",
    "^(?:boot|home|media|mnt|srv)$",
    "^\\.",
    // Mirror addresses and proxy settings of the build host.
    "^etc/(?:apt|apk)$",
    "^etc/(?:hostname|resolv\\.conf|passwd-?|group-?|shadow-?|gshadow-?|hosts|nsswitch\\.conf|machine-id|mtab)$",
    "^var/(?:cache|log|tmp|lock|run|backups|local|mail|spool|opt)/",
    "^var/lib/apt$",
    "^var/lib/dpkg/(?!status\\.d(?:/|$))",
    "^var/lib/(?:pam|systemd|misc)$",
    "^usr/share/(?:doc|doc-base|man|info|locale|lintian|bug)$",
    "^usr/(?:games|include|src)$",
    "^usr/local/",
  ],
  trimmed: [
    "^usr/lib/[^/]+/gconv$",
    "^usr/share/(?:gdb|gcc|initramfs-tools|base-files|common-licenses|dict|menu|pixmaps|applications|bash-completion)$",
    "^usr/lib/(?:valgrind|mime|binfmt\\.d|sysusers\\.d|systemd|init|tmpfiles\\.d)$",
    "^etc/(?:cron\\.[a-z]+|init\\.d|rc[0-9S]\\.d|logrotate\\.d|systemd|update-motd\\.d|skel|dpkg|default|profile\\.d|issue|issue\\.net|motd|fstab|profile)$",
    "^usr/bin/tini-static$",
    "\\.(?:a|la)$",
  ],
  /** Names of packages that a trimmed image does without, although others depend on them. */
  packages:
    "^(?:(?:lib)?python3.*|dpkg|debconf|perl.*|libperl.*|apt|tzdata|init-system-helpers|util-linux|bsdutils|mount|tar|mawk|gawk|sed|grep|findutils|coreutils|bash|dash|diffutils|adduser|passwd|login.*|ucf|cron.*|logrotate|systemd.*|sysvinit-utils|lsb-base|isa-support|sse.*-support|media-types|readline-common|sensible-utils|libpam-(?:modules|modules-bin|runtime))$",
} as const;

/** Whether a path of the bootstrapped tree (relative, no leading slash) stays out of the image. */
export function isTrimmed(path: string, trim: boolean): boolean {
  return NEVER.some((rule) => rule.test(path)) || (trim && TRIMMED.some((rule) => rule.test(path)));
}

/**
 * Which packages stay in a trimmed image: those that the roots reach over their dependencies
 * without passing through one that the rules leave out. Roots themselves always stay.
 */
export function keptPackages(
  packages: readonly DistributionPackage[],
  roots: readonly string[],
): ReadonlySet<string> {
  const providers = new Map<string, DistributionPackage[]>();
  for (const each of packages) {
    for (const name of [each.name, ...each.provides]) {
      providers.set(name, [...(providers.get(name) ?? []), each]);
    }
  }
  const kept = new Set<string>();
  const visit = (each: DistributionPackage): void => {
    if (kept.has(each.name)) return;
    kept.add(each.name);
    for (const need of each.depends) {
      for (const next of providers.get(need) ?? []) {
        // A root that the rules name (an interpreter, say) brings along what it is made of.
        if (!LEFT_OUT.test(next.name) || LEFT_OUT.test(each.name)) visit(next);
      }
    }
  };
  for (const each of packages) if (roots.includes(each.name)) visit(each);
  return kept;
}

const NEVER = TRIM_RULES.never.map((rule) => new RegExp(rule));
const TRIMMED = TRIM_RULES.trimmed.map((rule) => new RegExp(rule));
const LEFT_OUT = new RegExp(TRIM_RULES.packages);
