/**
 * The container runtime that the tests use: the one that BULKHEAD_TEST_RUNTIME names (`lxd` or `incus`), else the
 * first whose socket is there, LXD before Incus as in set-up.
 *
 * It starts nothing: `./bulkhead test` sets an installation up first, and that has the daemon run.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import * as z from "zod";
import { RUNTIME_KINDS, RUNTIME_SOCKETS, type RuntimeKind } from "../packages/host/src/runtime-choice.ts";

export interface TestRuntime {
  readonly kind: RuntimeKind;
  readonly socket: string;
}

/** What was asked for; undefined leaves the choice to set-up. */
export const ASKED_RUNTIME: RuntimeKind | undefined = z
  .enum(["lxd", "incus"], { error: "BULKHEAD_TEST_RUNTIME must be lxd or incus" })
  .optional()
  .parse(process.env["BULKHEAD_TEST_RUNTIME"]);

export const TEST_RUNTIME: TestRuntime = findRuntime();

/** The runtime's own client program with `args`, as an argument vector; needs nothing of the environment. */
export function runtimeCommand(
  args: readonly string[],
  { kind, socket }: TestRuntime = TEST_RUNTIME,
): readonly [file: string, ...args: string[]] {
  const home = ["HOME=/root", `${kind.toUpperCase()}_DIR=${dirname(socket)}`];
  return ["env", ...home, kind === "lxd" ? "lxc" : "incus", ...args];
}

function findRuntime(): TestRuntime {
  const kinds = ASKED_RUNTIME === undefined ? RUNTIME_KINDS : [ASKED_RUNTIME];
  const all = kinds.flatMap((kind) => RUNTIME_SOCKETS[kind].map((socket) => ({ kind, socket })));
  const found = all.find(({ socket }) => existsSync(socket)) ?? all[0];
  if (found === undefined) throw new Error("no runtime is known");
  return found;
}
