/** What many attempts do: one system call, one open file, one connection; each as a function of the machine. */
import type { Attempt, Deed } from "../attempt.ts";
import type { Argument, Machine } from "../adversary/machine.ts";
import type { SyscallName } from "../adversary/syscall-numbers.ts";

type Run = Attempt["run"];

/** Errno names with which the kernel shows that it had let the call in, and only the arguments were bad. */
export type Reached = readonly string[];

/** One call; a descriptor that it returns is closed again where `closes` says so. */
export function syscall(
  name: SyscallName,
  args: readonly Argument[] | (() => readonly Argument[]),
  options: {
    readonly reached?: Reached;
    readonly closes?: boolean;
    readonly undo?: (machine: Machine) => void;
  } = {},
): Run {
  return (machine): Deed => {
    const { value, errno } = machine.call(name, ...(typeof args === "function" ? args() : args));
    if (errno !== null && options.reached?.includes(errno) !== true) return { answer: errno };
    const detail = errno === null ? `returned ${value}` : `let in, then ${errno}`;
    const undo = (): void => {
      if (options.closes === true && errno === null) machine.call("close", value);
      options.undo?.(machine);
    };
    return { answer: "done", detail, undo };
  };
}

export function openFile(path: string, flags: number): Run {
  return (machine) => machine.open(path, flags);
}

/** Takes descriptors one after another, up to `most`, by a call that returns one, and holds them. */
export function holdDescriptors(most: number, name: SyscallName, ...args: readonly Argument[]): Run {
  return (machine): Deed => {
    const held: number[] = [];
    let errno: string | null = null;
    while (held.length < most && errno === null) {
      const made = machine.call(name, ...args);
      ({ errno } = made);
      if (errno === null) held.push(made.value);
    }
    return {
      answer: errno ?? "done",
      undo: () => held.forEach((descriptor) => machine.call("close", descriptor)),
    };
  };
}

/** Bytes of a structure: fields as [offset, size, value], little-endian. */
export function bytes(
  size: number,
  ...fields: readonly (readonly [number, 1 | 2 | 4 | 8, number])[]
): Uint8Array {
  const data = new Uint8Array(size);
  const view = new DataView(data.buffer);
  for (const [offset, width, value] of fields) {
    if (width === 1) view.setUint8(offset, value);
    else if (width === 2) view.setUint16(offset, value, true);
    else if (width === 4) view.setUint32(offset, value, true);
    else view.setBigUint64(offset, BigInt(value), true);
  }
  return data;
}

/** The same attempt by both actors; `user` and `root` may expect other answers and be covered by other layers. */
export function byBoth(
  attempt: Omit<Attempt, "actor">,
  user: Partial<Attempt> = {},
  root: Partial<Attempt> = {},
): readonly Attempt[] {
  return [
    { ...attempt, ...user, id: `${attempt.id}-user`, actor: "user" },
    { ...attempt, ...root, id: `${attempt.id}-root`, actor: "root" },
  ];
}
