/**
 * Containment layers: every single thing that holds an instrument, as a closed union. A proof takes
 * layers away from a canary by these names; nothing else may ever be without one.
 *
 * Invariants: a layer of kind `profile` is a part of the container's profile, `stand` a part of what
 * surrounds a canary (wires, bus), `host` a property that no container of ours can be made without:
 * to show that it matters the same act is done outside of any container.
 */
import * as z from "zod";

/** What each layer is, in words for a report. */
export const CONTAINMENT_LAYERS = {
  capabilities: { kind: "profile", title: "no capability, for the container's root neither" },
  "no-new-privileges": { kind: "profile", title: "no program gains a right by being started" },
  "user-namespaces": { kind: "profile", title: "no further user namespaces (sysctl)" },
  "seccomp-namespaces": { kind: "profile", title: "system calls that make or enter namespaces" },
  "seccomp-mounts": { kind: "profile", title: "system calls that mount, and file handles" },
  "seccomp-keys": { kind: "profile", title: "system calls of the kernel's key store" },
  "seccomp-processes": { kind: "profile", title: "system calls that look into other processes" },
  "seccomp-kernel": {
    kind: "profile",
    title: "bpf, io_uring, userfaultfd, perf and other wide kernel surfaces",
  },
  "seccomp-sockets": { kind: "profile", title: "socket families above AF_PACKET, packet rings" },
  "seccomp-runtime": { kind: "profile", title: "the container runtime's own list (modules, kexec, handles)" },
  "read-only-root": { kind: "profile", title: "a root file system that cannot be written" },
  "memory-mount-flags": { kind: "profile", title: "nosuid, nodev and noexec on file systems in memory" },
  "memory-mount-size": { kind: "profile", title: "a size for each file system in memory" },
  "ipv6-off": { kind: "profile", title: "IPv6 switched off" },
  "guest-api": { kind: "profile", title: "no socket of the container runtime inside" },
  "memory-limit": { kind: "profile", title: "memory limit of the control group" },
  "process-limit": { kind: "profile", title: "limit on processes of the control group" },
  "cpu-limit": { kind: "profile", title: "CPU allowance of the control group" },
  "open-files-limit": { kind: "profile", title: "limit on open files" },
  "locked-memory-limit": { kind: "profile", title: "limit on locked memory" },
  "inotify-limit": { kind: "profile", title: "limit on inotify instances (sysctl)" },
  "network-namespace": { kind: "profile", title: "a network namespace of its own" },
  "wire-xdp": { kind: "stand", title: "XDP program at the far end of the wire that drops all" },
  "wire-clsact": { kind: "stand", title: "clsact filter at the far end of the wire that drops all" },
  "span-egress": { kind: "stand", title: "clsact filter that lets nothing leave the span device" },
  "segment-rules": { kind: "stand", title: "stateless rules at the segment's end of a port's wire" },
  "instrument-rules": { kind: "stand", title: "stateful rules in the network namespace that it joined" },
  "port-isolation": { kind: "stand", title: "a bridge whose ports cannot speak to one another" },
  "egress-proxy": { kind: "stand", title: "the egress proxy, which judges every connection" },
  "bus-gate": { kind: "stand", title: "the gate on the instrument's own bus socket" },
  "bus-permissions": { kind: "stand", title: "the broker's permissions of the instrument's user" },
  "delivery-desk": { kind: "stand", title: "the desk that takes deliveries, and believes no sender" },
  "volume-size": { kind: "host", title: "a size for each volume: a file of its own" },
  idmap: { kind: "host", title: "ids of its own: the container's root is nobody on the host" },
  "mount-namespace": { kind: "host", title: "the host's files are not in the container's tree" },
  "pid-namespace": { kind: "host", title: "the host's processes are not to be seen or signalled" },
  "device-list": { kind: "host", title: "only the few harmless device nodes exist" },
} as const satisfies Readonly<
  Record<string, { readonly kind: "profile" | "stand" | "host"; readonly title: string }>
>;

export type ContainmentLayer = keyof typeof CONTAINMENT_LAYERS;

// The keys of an object literal are exactly the union; Object.keys forgets that.
export const LAYER_NAMES = Object.keys(CONTAINMENT_LAYERS) as readonly ContainmentLayer[] as readonly [
  ContainmentLayer,
  ...ContainmentLayer[],
];
export const ContainmentLayer = z.enum(LAYER_NAMES);
