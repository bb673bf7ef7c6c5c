/** The instruments' side, a process of its own: publishes as told on stdin, one task a line, and says when it has. */
import { once } from "node:events";
import { createInterface } from "node:readline";
import { connectRaw, frameOf, type Place, settle } from "./raw-client.ts";

/** Each of the places writes as much as the others, at the same time. */
export interface WriteTask {
  readonly writers: readonly { readonly instrument: number; readonly user: string; readonly place: Place }[];
  /** Of each. */
  readonly messages: number;
}

const BATCH = 50;

if (import.meta.main) {
  for await (const line of createInterface({ input: process.stdin })) {
    const task: WriteTask = JSON.parse(line);
    await Promise.all(task.writers.map((writer) => write(writer, task.messages)));
    console.log("done");
  }
}

async function write(
  { instrument, user, place }: WriteTask["writers"][number],
  messages: number,
): Promise<void> {
  const socket = await connectRaw(place, user, user);
  const chunk = Buffer.from(frameOf(instrument).repeat(BATCH));
  for (let at = 0; at < messages; at += BATCH) {
    if (!socket.write(chunk)) await once(socket, "drain");
  }
  await settle(socket);
  socket.destroy();
}
