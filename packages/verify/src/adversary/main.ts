/**
 * The adversary: runs inside a canary, dials the relay's socket and does what it is told to try, one attempt at a
 * time. It holds what it got until it is told to let go, so that a witness outside can look.
 */
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import { createRequire } from "node:module";
import type koffiModule from "koffi";
import { ATTEMPTS } from "../attempts/index.ts";
import type { Deed, Params } from "../attempt.ts";
import type { FromAdversary, ToAdversary } from "../protocol.ts";
import { linuxMachine } from "./linux-machine.ts";

const SOCKET = process.argv[2] ?? "/run/bulkhead/verify.sock";

async function main(): Promise<void> {
  // The native module lies beside this program: nothing of the image is loaded but its C library.
  const koffi = createRequire(import.meta.url)("koffi") as typeof koffiModule;
  const machine = linuxMachine(koffi);
  const socket = createConnection({ path: SOCKET });
  const say = (message: FromAdversary): void => void socket.write(`${JSON.stringify(message)}\n`);
  say({ type: "hello", uid: process.getuid?.() ?? 0 });
  let held: Deed | null = null;
  for await (const line of createInterface({ input: socket, crlfDelay: Infinity })) {
    // Orders come from the platform's relay, which is no adversary of this one.
    const message = JSON.parse(line) as ToAdversary;
    if (message.type === "end") break;
    const { id } = message;
    if (message.type === "release") {
      await held?.undo?.();
      held = null;
      say({ type: "released", id });
      continue;
    }
    held = await deedOf(id, message.params as unknown as Params);
    say({ type: "deed", id, answer: held.answer, detail: (held.detail ?? "").slice(0, 400) });
  }
  process.exit(0);

  async function deedOf(id: string, params: Params): Promise<Deed> {
    const attempt = ATTEMPTS.find((one) => one.id === id);
    if (attempt === undefined) return { answer: "EUNKNOWN", detail: "no such attempt" };
    try {
      return await attempt.run(machine, params);
    } catch (error) {
      return { answer: "ETHROWN", detail: String(error).slice(0, 300) };
    }
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`adversary: ${String(error)}\n`);
  process.exit(1);
});
