/**
 * What a flooding instrument costs the others: bystanders publish at their own pace and wait for each batch to be taken,
 * through gates with the budgets of a sensor.
 *
 * The flooder is a process of its own. Niceness 3 is a weight of 526 in 1024, what a container without a tap gets of a
 * processor (warden/src/engine/role-priority.ts).
 */
import { setPriority } from "node:os";
import { type ChildProgram, startProgram } from "./child-process.ts";
import { type Gates, userOf } from "./gate-host.ts";
import { connectRaw, frameOf, settle } from "./raw-client.ts";
import { placeOf } from "./throughput.ts";
import type { WriteTask } from "./writer.ts";

const FLOODER_NICENESS = 3;
const BYSTANDERS = [1, 2, 3] as const;
const FLOODER = 0;
const BATCH = 20;
const ENDLESS = 1_000_000_000;

/** Events a second that the bystanders got through together, within `forMs`. */
export async function measureBystanders(gates: Gates, forMs: number, flooded: boolean): Promise<number> {
  await using stack = new AsyncDisposableStack();
  if (flooded) {
    const flooder = startFlooder(gates);
    stack.defer(() => void process.kill(flooder.pid, "SIGKILL"));
  }
  const sockets = await Promise.all(
    BYSTANDERS.map((instrument) => {
      const user = userOf(instrument);
      return connectRaw(placeOf(gates, "gate", instrument), user, user);
    }),
  );
  stack.defer(() => sockets.forEach((socket) => void socket.destroy()));
  const beganMs = performance.now();
  const counts = await Promise.all(
    sockets.map(async (socket, index) => {
      const chunk = frameOf(BYSTANDERS[index] ?? 0).repeat(BATCH);
      let sent = 0;
      for (; performance.now() - beganMs < forMs; sent += BATCH) {
        socket.write(chunk);
        await settle(socket);
      }
      return sent;
    }),
  );
  return counts.reduce((sum, count) => sum + count, 0) / ((performance.now() - beganMs) / 1_000);
}

function startFlooder(gates: Gates): ChildProgram {
  const flooder = startProgram("writer.ts");
  setPriority(flooder.pid, FLOODER_NICENESS);
  const task: WriteTask = {
    writers: [{ instrument: FLOODER, user: userOf(FLOODER), place: placeOf(gates, "gate", FLOODER) }],
    messages: ENDLESS,
  };
  flooder.tell(task);
  return flooder;
}
