/**
 * What every image has of ours, whatever the base: the user that an instrument runs as, name
 * lookups that never leave the container, and a real directory wherever the platform mounts.
 */
import type { BasePlan } from "./base-plan.ts";
import type { TarItem } from "./tar.ts";

/** uid and gid of the payload inside the container. */
export const INSTRUMENT_ID = 1000;

const PASSWD = `root:x:0:0:root:/root:/usr/sbin/nologin
instrument:x:${INSTRUMENT_ID}:${INSTRUMENT_ID}:instrument:/tmp:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
`;
const GROUP = `root:x:0:\ninstrument:x:${INSTRUMENT_ID}:\nnogroup:x:65534:\n`;

/** Directories that a container's profile mounts on, and those above an instrument's own files. */
export const MOUNT_POINTS: readonly string[] = [
  "data",
  "dev",
  "inbox",
  "opt",
  "opt/instrument",
  "opt/node",
  "proc",
  "resources",
  "run",
  "sys",
  "tmp",
];

export function skeleton(plan: BasePlan): ReadonlyMap<string, TarItem> {
  const items = new Map<string, TarItem>();
  for (const path of [
    ...MOUNT_POINTS,
    "etc",
    "root",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "var",
    "var/lib",
    "var/log",
  ]) {
    items.set(path, { kind: "directory" });
  }
  items.set("tmp", { kind: "directory", mode: 0o1777 });
  items.set("root", { kind: "directory", mode: 0o700 });
  items.set("etc/passwd", { kind: "file", content: PASSWD });
  items.set("etc/group", { kind: "file", content: GROUP });
  items.set("etc/hosts", { kind: "file", content: "127.0.0.1 localhost\n" });
  items.set("etc/resolv.conf", { kind: "file", content: "" });
  items.set("etc/nsswitch.conf", {
    kind: "file",
    content: "passwd: files\ngroup: files\nhosts: files\nservices: files\nprotocols: files\n",
  });
  // The same command starts an agent on both bases.
  if (plan.node === "image") {
    items.set("opt/node/bin/node", { kind: "symlink", target: "../../../usr/bin/node" });
  }
  return items;
}
