/**
 * Filter expressions of taps: from tcpdump's language to classic BPF bytecode, and a check without any rights.
 *
 * Invariants: the expression is one argument behind `--`, so it cannot be an option; the compiler runs under an
 * unprivileged uid that holds CAP_NET_RAW alone, and that in the engine's namespace alone; nothing is installed here.
 * It compiles against a live interface because the kernel has taken VLAN tags off a live frame, and only then does
 * libpcap look for the tag where it is. `lo` is as good as the span for that, and its capture costs the span nothing.
 */
import type { Commands } from "../commands.ts";
import { isWardenError, WardenError } from "../error.ts";
import type { NetworkNamespace } from "./namespace.ts";
import { matchAllBytecode } from "./traffic-control.ts";

/** tc 6.1 builds its message in 16 KiB, 8 bytes an instruction; the kernel itself would take 4096. */
export const maxInstructions = 2000;

/** Bytes of an expression; far below what one argument may have (128 KiB). */
export const maxExpressionBytes = 16_384;

/** What is known of an expression without compiling it for a live interface. */
export type FilterCheck =
  | { readonly outcome: "accepted"; readonly instructions: number }
  | {
      readonly outcome: "refused";
      readonly code: "datapath-filter-invalid" | "datapath-filter-too-long";
      readonly message: string;
    };

/**
 * Compiles an expression for frames on a live interface. The empty expression matches all.
 *
 * @param engine the engine's namespace, with `lo` up.
 * @param uid runs the compiler; an unprivileged one that owns nothing.
 * @returns tc's text form, `count,code jt jf k,…`.
 * @throws WardenError `datapath-filter-invalid` with tcpdump's message, `datapath-filter-too-long`
 */
export async function compileFilter(
  engine: NetworkNamespace,
  expression: string,
  uid: number,
): Promise<string> {
  refuseOversized(expression);
  if (expression.trim() === "") return matchAllBytecode;
  const argv = [...unprivileged(uid, ["net_raw"]), "tcpdump", "-ddd", "-p", "-i", "lo", "--", expression];
  const { stdout } = await engine.run(argv, { timeoutMs: compileTimeoutMs }).catch((error: unknown) => {
    throw compilerFailure(expression, error);
  });
  return parseCompiled(expression, stdout);
}

/**
 * Checks an expression for plain Ethernet, without an interface: for `plan`. The live bytecode
 * differs a little in length (VLAN), so an expression near the limit may still be refused when it is applied.
 *
 * @throws WardenError `command-missing` without tcpdump; faults of the expression are returned.
 */
export async function checkFilter(commands: Commands, expression: string, uid: number): Promise<FilterCheck> {
  try {
    refuseOversized(expression);
    // In a namespace of its own, so that a name in the expression is never asked of the host's resolver.
    const confined = ["unshare", "--net", "--", ...unprivileged(uid, [])];
    const argv = [...confined, "tcpdump", "-ddd", "-r", "-", "--", expression];
    const { stdout } = await commands
      .run(argv, { input: emptyCapture(), timeoutMs: compileTimeoutMs })
      .catch((error: unknown) => {
        throw compilerFailure(expression, error);
      });
    const instructions = Number(parseCompiled(expression, stdout).split(",")[0]);
    return { outcome: "accepted", instructions };
  } catch (error) {
    for (const code of ["datapath-filter-invalid", "datapath-filter-too-long"] as const) {
      if (isWardenError(error, code)) return { outcome: "refused", code, message: error.message };
    }
    throw error;
  }
}

/** A name that only a resolver knows makes libpcap ask for it: there is none in the engine's namespace. */
const compileTimeoutMs = 10_000;

function unprivileged(uid: number, capabilities: readonly string[]): readonly string[] {
  const user = [`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--no-new-privs"];
  const kept = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  const rights = ["inh-caps", "ambient-caps", "bounding-set"].map((set) => `--${set}=${kept}`);
  return ["setpriv", ...user, ...rights, "--"];
}

function refuseOversized(expression: string): void {
  const sizeBytes = Buffer.byteLength(expression);
  if (sizeBytes > maxExpressionBytes) {
    throw new WardenError("datapath-filter-too-long", `${sizeBytes} bytes; at most ${maxExpressionBytes}`, {
      fields: { sizeBytes, limit: maxExpressionBytes },
    });
  }
  if (expression.includes("\0")) {
    throw new WardenError("datapath-filter-invalid", "an expression holds no NUL character");
  }
}

/** `-ddd`: the number of instructions, then one a line. */
function parseCompiled(expression: string, stdout: string): string {
  const lines = stdout.trim().split("\n");
  const count = Number(lines[0]);
  if (!/^\d+(\n\d+ \d+ \d+ \d+)+$/.test(lines.join("\n")) || count !== lines.length - 1) {
    throw new WardenError("datapath-filter-invalid", "the compiler's output is not bytecode", {
      fields: { expression, stdout: stdout.slice(0, 200) },
    });
  }
  if (count > maxInstructions) {
    throw new WardenError(
      "datapath-filter-too-long",
      `${count} instructions; a tap's filter has at most ${maxInstructions}`,
      { fields: { expression, instructions: count, limit: maxInstructions } },
    );
  }
  return lines.join(",");
}

function compilerFailure(expression: string, cause: unknown): unknown {
  if (!isWardenError(cause, "command-failed") && !isWardenError(cause, "command-timeout")) return cause;
  const lines = String(cause.fields["stderr"] ?? "").split("\n");
  const said = lines.findLast((line) => line.startsWith("tcpdump: ")) ?? lines.at(-1) ?? "";
  const message = said.replace(/^tcpdump: /, "") || "the compiler did not end in time";
  return new WardenError("datapath-filter-invalid", message, { fields: { expression }, cause });
}

/** A capture file of Ethernet frames with no frame in it (libpcap's pcap-savefile(5)). */
function emptyCapture(): Uint8Array {
  const header = Buffer.alloc(24);
  header.writeUInt32LE(0xa1b2c3d4, 0);
  header.writeUInt16LE(2, 4);
  header.writeUInt16LE(4, 6);
  header.writeUInt32LE(262_144, 16);
  header.writeUInt32LE(1, 20); // LINKTYPE_ETHERNET
  return header;
}
