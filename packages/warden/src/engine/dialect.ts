/**
 * Where LXD and Incus differ, in one place: header names, a security key, paths inside containers.
 *
 * Invariants: a dialect is chosen by what the server says that it is (`environment.server`), never by a version;
 * whatever else is needed is probed in `api_extensions`. Anything that both do alike does not belong here.
 */
import { WardenError } from "../error.ts";

export interface Dialect {
  readonly kind: "lxd" | "incus";
  /** Prefix of the headers that describe an uploaded image: `X-LXD-fingerprint`. */
  readonly headerPrefix: string;
  /** Config key of the socket that a runtime offers inside a container; always switched off. */
  readonly guestApiKey: string;
  /** Where that socket would be; its presence is a deviation. */
  readonly guestApiPath: string;
  /** Mounts that the runtime itself makes below /dev, for disks added to a running container. */
  readonly liveMountsPath: string;
  /** What an AppArmor label of a contained process begins with. */
  readonly appArmorPrefix: string;
}

const dialects: Readonly<Record<Dialect["kind"], Dialect>> = {
  lxd: {
    kind: "lxd",
    headerPrefix: "X-LXD-",
    guestApiKey: "security.devlxd",
    guestApiPath: "/dev/lxd",
    liveMountsPath: "/dev/.lxd-mounts",
    appArmorPrefix: "lxd-",
  },
  incus: {
    kind: "incus",
    headerPrefix: "X-Incus-",
    guestApiKey: "security.guestapi",
    guestApiPath: "/dev/incus",
    liveMountsPath: "/dev/.incus-mounts",
    appArmorPrefix: "incus-",
  },
};

export const LXD_DIALECT = dialects.lxd;
export const INCUS_DIALECT = dialects.incus;

/**
 * The dialect of a server that calls itself `server` (`environment.server` of GET /1.0).
 * @throws WardenError `runtime-unknown`
 */
export function dialectOf(server: string): Dialect {
  if (server === "lxd" || server === "incus") return dialects[server];
  throw new WardenError("runtime-unknown", `the container runtime calls itself ${JSON.stringify(server)}`, {
    fields: { server },
  });
}
