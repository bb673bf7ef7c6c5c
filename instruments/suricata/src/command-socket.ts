/**
 * Command socket: Suricata's own control, JSON over a Unix socket (protocol version 0.2).
 *
 * One connection a command. An answer other than OK is returned as a failure, not thrown; no
 * answer at all is an exception.
 */
import { createConnection } from "node:net";
import { createInterface } from "node:readline";
import * as z from "zod";

export type CommandReply =
  | { readonly ok: true; readonly message: unknown }
  | { readonly ok: false; readonly message: string };

const Reply = z.object({ return: z.enum(["OK", "NOK"]), message: z.unknown().optional() });
const ReloadTimes = z.array(z.object({ last_reload: z.string() })).min(1);
const InterfaceCounters = z.object({ pkts: z.int().min(0), drop: z.int().min(0) });

/** Asks a running Suricata. @throws Error where nobody answers in time. */
export async function askSuricata(
  socketPath: string,
  command: string,
  args: Readonly<Record<string, string>> = {},
  timeoutMs = 5_000,
): Promise<CommandReply> {
  const socket = createConnection(socketPath);
  const timer = setTimeout(
    () => socket.destroy(new Error(`Suricata did not answer ${command} within ${timeoutMs} ms`)),
    timeoutMs,
  );
  try {
    // Errors of the socket end the iteration below by rejecting it.
    socket.write('{"version":"0.2"}\n');
    const failed = new Promise<never>((_resolve, reject) => socket.once("error", reject));
    const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
    const next = async (): Promise<z.infer<typeof Reply>> => {
      const { value, done } = await Promise.race([lines.next(), failed]);
      if (done === true) throw new Error(`Suricata closed its command socket at ${command}`);
      return Reply.parse(JSON.parse(value));
    };
    await next();
    const withArguments = Object.keys(args).length === 0 ? { command } : { command, arguments: args };
    socket.write(`${JSON.stringify(withArguments)}\n`);
    const reply = await next();
    return reply.return === "OK"
      ? { ok: true, message: reply.message }
      : { ok: false, message: String(reply.message) };
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** What the capture of an interface counted since Suricata's start; null while it cannot say. */
export async function readCaptureCounters(
  socketPath: string,
  device: string,
): Promise<{ readonly packets: number; readonly drops: number } | null> {
  const reply = await askSuricata(socketPath, "iface-stat", { iface: device });
  const counters = reply.ok ? InterfaceCounters.safeParse(reply.message) : null;
  return counters?.success === true ? { packets: counters.data.pkts, drops: counters.data.drop } : null;
}

/** When the rules in force were loaded, in microseconds: it changes with each reload that succeeds. */
export async function readReloadTime(socketPath: string): Promise<string> {
  const reply = await askSuricata(socketPath, "ruleset-reload-time");
  if (!reply.ok) throw new Error(reply.message);
  return ReloadTimes.parse(reply.message)
    .map((tenant) => tenant.last_reload)
    .join(" ");
}
