/**
 * Attempt: one way in which an adversary tries to get out, as data and a small function.
 *
 * Invariants: `run` is done inside the canary and only says what the kernel answered; whether it was stopped is judged
 * outside, by the answer and by the witness, while the adversary still holds what it got. The layers named here are
 * all that cover the attempt: with all of them taken away it must succeed, or the proof of it is worth nothing.
 */
import type { ContainmentLayer, InstrumentSpec } from "@bulkhead/schema";
import type { Machine } from "./adversary/machine.ts";

export const GROUPS = ["network", "host", "storage", "bus", "resources", "identity"] as const;
export type Group = (typeof GROUPS)[number];

/** What the kernel answered: `done`, or the name of an errno. */
export interface Deed {
  readonly answer: string;
  readonly detail?: string;
  /** Gives back what was got, once the witness has looked. */
  readonly undo?: () => void | Promise<void>;
}

/** What the adversary is told of the place that it is in. */
export interface Params {
  readonly memoryBytes: number;
  readonly processes: number;
  /** A process of the host that is not the canary's. */
  readonly hostPid: number;
  /** A file of the host with a mark in it, readable for its root alone. */
  readonly hostFile: string;
  readonly volumes: readonly string[];
  /** Ports of the stand-ins for services of the host and of others. */
  readonly decoyPort: number;
  /** Of a service that the host itself offers on its own loopback, and in the name of a socket without a file. */
  readonly hostPort: number;
  /** Where it may make links: its volume, or its memory; for the host's root beside the mark. */
  readonly linkDir: string;
}

/** How the host's side sees that the attempt succeeded. */
export type Witness =
  /** A process holds a descriptor whose link (proc(5), fd) matches. */
  | {
      readonly kind: "descriptor";
      readonly pattern: string;
      /** How many more the attempt opens whether or not it succeeds. */
      readonly besides?: number;
    }
  /** A process sees a mount at this path (proc(5), mountinfo) without this option, if one is named; or no more. */
  | { readonly kind: "mount"; readonly path: string; readonly lacks?: string; readonly gone?: true }
  /** A process is in another namespace than the first one. */
  | { readonly kind: "namespace"; readonly name: "user" | "mnt" | "net" | "pid" | "uts" | "ipc" | "cgroup" }
  /** A process's status (proc(5)) has a line that matches. */
  | { readonly kind: "status"; readonly pattern: string }
  /** A process's resource limits (proc(5), limits) have a line that matches. */
  | { readonly kind: "limits"; readonly pattern: string }
  /** Another root directory, or a changed host name. */
  | { readonly kind: "link"; readonly name: "root" | "exe"; readonly pattern: string }
  /** The canary's network has a device, or an open socket of a table (proc(5), net/). */
  | { readonly kind: "device"; readonly name: string }
  | { readonly kind: "socket-table"; readonly table: "raw" | "packet" }
  /** A stand-in for somebody else took a connection or a datagram. */
  | { readonly kind: "decoy"; readonly name: string }
  /** A process holds a file open at a path that ends so and is larger than this. */
  | { readonly kind: "file-size"; readonly path: string; readonly above: number; readonly unshown?: string }
  /** Frames arrived at the far end of the span device. */
  | { readonly kind: "frames" }
  /** More processes, or memory in use, than the profile allows. */
  | { readonly kind: "processes" }
  | { readonly kind: "memory" }
  /** More CPU than the profile allows, measured over the attempt. */
  | { readonly kind: "cpu" }
  /** A descriptor count above this in one process. */
  | { readonly kind: "descriptor-count"; readonly above: number }
  /** A file of the host (proc(5)) has a line that matches and did not before. */
  | {
      readonly kind: "host-file";
      readonly path: string;
      readonly pattern: string;
      /** Why the control does not let it come so far. */
      readonly unshown?: string;
    }
  /** What the host sees in the network namespace by ip(8), nft(8) and ss(8): lines that match differ from before. */
  | {
      readonly kind: "network";
      readonly what: "links" | "addresses" | "tables" | "sockets" | "conntrack";
      readonly pattern: string;
      readonly unshown?: string;
    }
  /** A process has a real-time class, of the processor or of the disk. */
  | { readonly kind: "scheduling"; readonly what: "processor" | "disk" }
  /** A process has another execution domain (proc(5), personality). */
  | { readonly kind: "execution-domain" }
  /** More keys of its ids are in the kernel (proc(5), key-users). */
  | { readonly kind: "keys" }
  /** The host name of its namespace is another. */
  | { readonly kind: "host-name" }
  /** A signal came to the host's process. */
  | { readonly kind: "signal" }
  /** Something of this name lies in the platform's own directory. */
  | { readonly kind: "placed"; readonly name: string; readonly unshown?: string }
  /** The host's mark was read, linked or changed, perhaps by the platform while it looks at every instrument. */
  | { readonly kind: "mark"; readonly whilePlatformLooks?: true }
  /** Logs of the host grew. */
  | { readonly kind: "log-growth"; readonly unshown?: string }
  /** A secret of the platform's, or what looks like one, is in a process. */
  | {
      readonly kind: "secrets";
      readonly where: "environment" | "arguments" | "memory";
      readonly unshown?: string;
    }
  /** The stand-in broker took or handed out more of these than this; 0 where left out. */
  | { readonly kind: "bus"; readonly subject: string; readonly above?: number; readonly unshown?: string }
  /** Nothing else can be seen from outside: the kernel's answer is compared, and the control shows the other one. */
  | { readonly kind: "answer"; readonly why: string };

/** How it is shown that the attempt would succeed without its layers. */
export type Control =
  | { readonly kind: "canary" }
  /** By the same act of the host's root outside of any container. */
  | { readonly kind: "host" }
  /** By the same act of the host's root inside the network namespace that warden made for the canary. */
  | { readonly kind: "namespace" }
  | { readonly kind: "none"; readonly why: string };

export interface Attempt {
  readonly id: string;
  readonly group: Group;
  /** In plain words, for somebody who never saw a system call. */
  readonly means: string;
  readonly actor: "user" | "root";
  /** Answers with which it is stopped. `done` where only the witness can tell. */
  readonly expected: readonly string[];
  readonly layers: readonly ContainmentLayer[];
  /** Of these layers, those that do not stop it alone, with the reason. */
  readonly partial?: Partial<Record<ContainmentLayer, string>>;
  readonly control: Control;
  readonly witness: Witness;
  /** Which instruments it concerns; all where left out. */
  readonly applies?: (spec: InstrumentSpec) => boolean;
  /** Kernels may lack what it attacks: it is absent then, which the host's own root shows. */
  readonly mayBeAbsent?: true;
  /** The kernel may stop it by killing the adversary itself, which is then the answer `killed`: it comes alone. */
  readonly mayKill?: true;
  readonly run: (machine: Machine, params: Params) => Deed | Promise<Deed>;
}
